/**
 * Policy as a library: rules in the words of iptables, sets in those of ipset, routes and routing rules in the words of `ip`. What is read, edited and
 * printed here a gateway does not apply yet.
 */
export * from './iptables/index.js'
export * from './iproute/index.js'
export * from './ipset/index.js'
export type { Chain, Match, Rule, RuleSpec, Ruleset, Table, Target } from './model.js'
