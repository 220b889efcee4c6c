"""What the hospital's and the coordinator's pages have in common: people, sessions, guards, look.

What holds here, and is tested:
- nobody sees a page but `/login` and, while there is no account, `/first`;
- a page says which roles may open it, and the server decides, not the menu;
- every look and change by a person is written down before it happens; polling is no look and keeps no
  session alive;
- no request from another site's page is obeyed; no page loads anything from elsewhere or runs inline code;
- addresses, titles and logs hold no name of a case or patient: pages name scans by keyed pseudonyms.
"""
