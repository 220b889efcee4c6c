"""How long scans wait to be read: what a reading order saves against first come, first served.

classes     who arrives, in which tier, how long a reading takes, how many readers
closed      formulas for the mean wait: one reader, any reading times; several readers, equal times
chain       several readers, unequal times, by a Markov chain: exact to its truncation
expected    the mean wait of diseased, other and missed patients, by whichever of these applies
roc         the same along a whole ROC curve, from two histograms of the score
arrivals    when scans come: at random, by the hour of the week, or as on a hospital's own days
hours       when reading rooms are open
simulate    one event simulation of all of it, with promotion after a longest wait
policies    the simulation of one stream of patients under several orders, compared

The quantities and their names follow QuCAD (Thompson et al., Queueing Systems 108:579, 2024). A wait excludes
the reading itself; times are minutes.
"""
