/** The words of iptables: rule sets from text, as text, and edited by commands. Control plane only. */
export { runIptables, type CommandResult } from './command.js'
export { emptyRuleset, type Counters } from './draft.js'
export { restoreRuleset, type RestoreOptions } from './restore.js'
export { ruleText, testText } from './rule-text.js'
export { saveRuleset, type SaveOptions } from './save.js'
export { setUses, withCounters, type SetUse } from './survey.js'
export { parseRestoreArguments, parseSaveArguments, type RestoreArguments, type SaveArguments } from './tools.js'
