/** The words of iptables: rule sets from text, as text, and edited by commands. Control plane only. */
export { runIptables, type CommandResult } from './command.js'
export { restoreRuleset, type RestoreOptions } from './restore.js'
export { saveRuleset, type SaveOptions } from './save.js'
export { emptyRuleset } from './draft.js'
export { ruleText } from './rule-text.js'
