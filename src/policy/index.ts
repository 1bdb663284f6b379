/**
 * Policy as a library: rules in the words of iptables, sets in those of ipset, routes and routing rules in the words of `ip`. What is read, edited and
 * printed here is plain data; a gateway takes it as files, or by the same words on its command line.
 */
export * from './iptables/index.js'
export * from './iproute/index.js'
export * from './ipset/index.js'
export type { Chain, Match, Rule, RuleSpec, Ruleset, Table, Target } from './model.js'
