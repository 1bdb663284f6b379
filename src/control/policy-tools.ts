/** One command in the words of iptables, ip or ipset: what it does to rules, routes and sets, and what it says. No side effects. */
import type { PolicyAnswer, PolicyRequest, PolicyTool } from '../api/types.js'
import { TsnatError } from '../errors.js'
import { errorText, type IpChanges, type IpState, runIp } from '../policy/iproute/index.js'
import { runIpset, type SetsState } from '../policy/ipset/index.js'
import {
  parseRestoreArguments, parseSaveArguments, restoreRuleset, runIptables, saveRuleset, setUses,
} from '../policy/iptables/index.js'
import type { Ruleset } from '../policy/model.js'
import type { SetEdit } from '../policy/sets/edits.js'
import { checkRules } from './policy-checks.js'

/** Everything that the words are about. Immutable. */
export interface PolicyState {
  readonly ruleset: Ruleset
  readonly ip: IpState
  readonly sets: SetsState
}

export interface ToolSurroundings {
  /** Milliseconds on the data plane's clock. */
  readonly now: number
  readonly date: Date
  /** 32 random bits. */
  readonly random: () => number
  /** Of the data plane's choice among next hops. */
  readonly seed: number
}

export interface ToolResult {
  /** The state before, when something was refused. */
  readonly state: PolicyState
  readonly answer: PolicyAnswer
  readonly edits: readonly SetEdit[]
  readonly changes: IpChanges
}

const NO_CHANGES: IpChanges = { routes: [], rules: false }

const quiet = (output = '', file: string | null = null): PolicyAnswer => ({ output, errors: '', exitCode: 0, file })
const unchanged = (state: PolicyState, answer: PolicyAnswer): ToolResult => ({ state, answer, edits: [], changes: NO_CHANGES })

/** Exit codes of iptables: 2 for words that are not understood, 1 for all else. ipset has 1 for both. */
const exitCodeOf = (tool: PolicyTool, { code }: TsnatError): number => (tool !== 'ipset' && code !== 'POLICY_INVALID' ? 2 : 1)

/** What a command says that cannot be done. */
export const refusal = (tool: PolicyTool, error: unknown): PolicyAnswer => {
  if (!(error instanceof TsnatError)) throw error
  const hint = error.hint === undefined ? '' : `  ${error.hint}\n`
  return { output: '', errors: `${tool}: ${error.message}\n${hint}`, exitCode: exitCodeOf(tool, error), file: null }
}

const withRules = (state: PolicyState, ruleset: Ruleset, output: string): ToolResult => {
  checkRules(state.ruleset, ruleset, state.sets)
  return unchanged({ ...state, ruleset }, quiet(output))
}

const runRestore = (state: PolicyState, { argv, input }: PolicyRequest): ToolResult => {
  const { test, ...options } = parseRestoreArguments(argv)
  const result = withRules(state, restoreRuleset(state.ruleset, input?.text ?? '', { ...options, file: input?.name ?? 'standard input' }), '')
  return test ? unchanged(state, quiet()) : result
}

const runSave = (state: PolicyState, { argv }: PolicyRequest, { date }: ToolSurroundings): ToolResult => {
  const { path, ...options } = parseSaveArguments(argv)
  return unchanged(state, quiet(saveRuleset(state.ruleset, { ...options, now: date }), path))
}

const runIpWords = (state: PolicyState, { argv, input }: PolicyRequest, { seed }: ToolSurroundings): ToolResult => {
  const readFile = (): string => input?.text ?? ''
  const { state: ip, changes, output, errors, exitCode } = runIp(state.ip, argv, { readFile, seed })
  const texts = errors.map((error) => errorText(error, input?.name ?? null)).join('')
  return { state: ip === state.ip ? state : { ...state, ip }, changes, edits: [], answer: { output, errors: texts, exitCode, file: null } }
}

const runSets = (state: PolicyState, { argv, input }: PolicyRequest, { now, random }: ToolSurroundings): ToolResult => {
  const uses = setUses(state.ruleset)
  const referencesOf = (name: string): number => uses.filter((use) => use.name === name).length
  const result = runIpset(state.sets, argv, { now, random, referencesOf }, input ?? undefined)
  const sets = result.state
  return {
    state: sets === state.sets ? state : { ...state, sets }, edits: result.edits, changes: NO_CHANGES,
    answer: { output: result.output, errors: result.notice, exitCode: result.exitCode, file: result.file },
  }
}

const run = (state: PolicyState, request: PolicyRequest, surroundings: ToolSurroundings): ToolResult => {
  switch (request.tool) {
    case 'iptables': {
      const { ruleset, output } = runIptables(state.ruleset, request.argv)
      return withRules(state, ruleset, output)
    }
    case 'iptables-restore': return runRestore(state, request)
    case 'iptables-save': return runSave(state, request, surroundings)
    case 'ip': return runIpWords(state, request, surroundings)
    case 'ipset': return runSets(state, request, surroundings)
  }
}

/** Runs a command on a state. What it refuses is told in the answer. */
export const runTool = (state: PolicyState, request: PolicyRequest, surroundings: ToolSurroundings): ToolResult => {
  try {
    return run(state, request, surroundings)
  } catch (error) {
    return unchanged(state, refusal(request.tool, error))
  }
}
