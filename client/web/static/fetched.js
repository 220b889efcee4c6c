// Fetches a volume; an answer that is none is an error in the server's own words.

export async function fetched(url) {
  const answer = await fetch(url, { credentials: "same-origin" });
  if (!answer.ok) throw new Error(answer.status === 404 ? "This picture was not made." : await answer.text());
  return answer.arrayBuffer();
}
