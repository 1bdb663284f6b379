/** Rules, sets and routes that a gateway begins with: from files, or from the lines of its configuration. */
import { readFileSync } from 'node:fs'
import { ExitCode, TsnatError } from '../errors.js'
import { fileReason } from '../file-reason.js'
import { errorText, runIpBatch } from '../policy/iproute/index.js'
import { restoreSets } from '../policy/ipset/index.js'
import { restoreRuleset } from '../policy/iptables/index.js'
import { checkRules } from './policy-checks.js'
import type { PolicyState, ToolSurroundings } from './policy-tools.js'

export interface PolicyText {
  /** In errors. */
  readonly name: string
  readonly text: string
}

export interface PolicyTexts {
  /** In the format of iptables-save. */
  readonly rules: PolicyText | null
  /** In that of `ip -batch`. */
  readonly ipBatch: PolicyText | null
  /** In that of `ipset save`. */
  readonly ipset: PolicyText | null
}

/** Lines, or where they are. */
export type PolicySource = string | { readonly file: string } | undefined

export interface PolicySources {
  readonly rules?: PolicySource
  readonly ipBatch?: PolicySource
  readonly ipset?: PolicySource
}

const textOf = (key: string, source: PolicySource): PolicyText | null => {
  if (source === undefined) return null
  if (typeof source === 'string') return { name: key, text: source }
  const { file } = source
  try {
    return { name: file, text: readFileSync(file, 'utf8') }
  } catch (cause) {
    throw new TsnatError(`cannot read ${file} (${key}): ${fileReason(cause)}`, {
      code: 'POLICY_READ', hint: 'check the path; one that is not absolute counts from the folder that tsnat is started in', exitCode: ExitCode.config, cause,
    })
  }
}

/** @throws TsnatError POLICY_READ */
export const readPolicy = ({ rules, ipBatch, ipset }: PolicySources): PolicyTexts =>
  ({ rules: textOf('rules', rules), ipBatch: textOf('ipBatch', ipBatch), ipset: textOf('ipset', ipset) })

/** What fails at the start is the configuration's fault. */
const asConfigError = <T>(name: string, work: () => T): T => {
  try {
    return work()
  } catch (error) {
    if (!(error instanceof TsnatError)) throw error
    const { code, message, hint } = error
    const placed = message.startsWith(name) ? message : `${name}: ${message}`
    throw new TsnatError(placed, { code, exitCode: ExitCode.config, cause: error, ...(hint === undefined ? {} : { hint }) })
  }
}

/**
 * The state with all of it: sets first, since rules name them.
 * @throws TsnatError with the place of what is wrong
 */
export const loadPolicy = (state: PolicyState, { rules, ipBatch, ipset }: PolicyTexts, { now, random }: ToolSurroundings): PolicyState => {
  let next = state
  if (ipset !== null) {
    const context = { now, random, referencesOf: () => 0 }
    next = { ...next, sets: asConfigError(ipset.name, () => restoreSets(next.sets, ipset, context).state) }
  }
  if (rules !== null) {
    const ruleset = asConfigError(rules.name, () => {
      const restored = restoreRuleset(next.ruleset, rules.text, { counters: true, file: rules.name })
      checkRules(next.ruleset, restored, next.sets)
      return restored
    })
    next = { ...next, ruleset }
  }
  if (ipBatch !== null) {
    const { state: ip, errors: [error] } = runIpBatch(next.ip, ipBatch.text)
    if (error !== undefined) {
      const [message] = errorText(error, ipBatch.name).split('\n')
      throw new TsnatError(message!, { code: error.code, exitCode: ExitCode.config, cause: error, ...(error.hint === undefined ? {} : { hint: error.hint }) })
    }
    next = { ...next, ip }
  }
  return next
}
