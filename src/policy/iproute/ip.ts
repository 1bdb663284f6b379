/**
 * The words of `ip rule` and `ip route`, as iproute2 takes them, on a state: what comes out is the new state, the text that
 * `ip` would print, its exit code, and what the data plane has to change. `ip address` and `ip link` only show.
 */
import type { RouteStep } from '../../route/lookup.js'
import { listAddresses, listLinks } from './device-list.js'
import { IpError, IpStatus, syntaxError, unknownWord, unsupported } from './error.js'
import type { Word } from './error.js'
import type { Printed, PrintOptions } from './printed.js'
import { printAll } from './printed.js'
import { DraftLookup } from './route-check.js'
import type { Verb } from './route-edit.js'
import { deleteRoute, putRoute, routeVerbs } from './route-edit.js'
import { getRoute } from './route-get.js'
import { flushRoutes, listRoutes } from './route-list.js'
import { readRoute } from './route-words.js'
import { addRule, deleteRule, flushRules, isSelected } from './rule-edit.js'
import { printRule } from './rule-print.js'
import { readRule, readRuleSelection } from './rule-words.js'
import type { IpChanges, IpState } from './state.js'
import { Draft } from './state.js'
import type { Command } from './words.js'
import { abbreviates, commandsOf, Cursor, wordsOf } from './words.js'

export interface IpOutcome {
  /** The state before, when something was refused. */
  readonly state: IpState
  readonly changes: IpChanges
  /** What `ip` prints. */
  readonly output: string
  /** What went wrong; with `-force` there may be several. */
  readonly errors: readonly IpError[]
  readonly exitCode: IpStatus
}

export interface IpSurroundings {
  /** Reads the file of `-batch`, `-` for the standard input. @throws Error when it cannot be read */
  readonly readFile?: (path: string) => string
  /** Of the data plane's choice among several next hops, for `ip route get`. */
  readonly seed?: number
  /** Takes what `ip route get` has looked at. */
  readonly trace?: RouteStep[]
}

interface Options extends PrintOptions {
  readonly batch: Word | null
  readonly force: boolean
  readonly numeric: boolean
  /** Of addresses and links, a line each. */
  readonly brief: boolean
}

/** The state that a command works on: a draft, and for listings the draft as a state. */
class Work {
  readonly draft: Draft
  readonly lookup: DraftLookup
  readonly options: Options
  readonly surroundings: IpSurroundings

  constructor(state: IpState, options: Options, surroundings: IpSurroundings) {
    this.draft = new Draft(options.numeric ? { ...state, names: { ...state.names, numeric: true } } : state)
    this.lookup = new DraftLookup(this.draft)
    this.options = options
    this.surroundings = surroundings
  }

  get state(): IpState {
    const { devices, names, rules, tables } = this.draft
    return { devices, names, rules, tables, prefixes: 0 }
  }
}

/** What a verb, which stands before the cursor, prints. */
type VerbMeaning = (cursor: Cursor, work: Work, verb: Word) => readonly Printed[]

const put = (name: string, verb: Verb): VerbMeaning => (cursor, { draft, lookup }) => {
  putRoute(verb, readRoute(cursor, `ip route ${name}`, draft.names, draft.devices), draft, lookup)
  return []
}

const listRouteWords: VerbMeaning = (cursor, { state, options }) => listRoutes(cursor, state, options.details)

const binary: VerbMeaning = () => { throw syntaxError('the binary format of "ip" is not read or written', null, 'use "show", or a file for "-batch"') }

/** In the order of iproute2, where the first that is abbreviated counts. */
const routeCommands: readonly (readonly [string, VerbMeaning])[] = [
  ['add', put('add', routeVerbs.add)],
  ['change', put('change', routeVerbs.change)],
  ['chg', put('change', routeVerbs.change)],
  ['replace', put('replace', routeVerbs.replace)],
  ['prepend', put('prepend', routeVerbs.prepend)],
  ['append', put('append', routeVerbs.append)],
  ['test', put('test', routeVerbs.test)],
  ['delete', (cursor, { draft }) => {
    deleteRoute(readRoute(cursor, 'ip route del', draft.names, draft.devices), draft)
    return []
  }],
  ['list', listRouteWords],
  ['show', listRouteWords],
  ['lst', listRouteWords],
  ['get', (cursor, { state, options, surroundings: { trace = null, seed = 0 } }) => [getRoute(cursor, state, options.details, trace, seed)]],
  ['flush', (cursor, { draft }) => {
    flushRoutes(cursor, draft)
    return []
  }],
  ['save', binary],
  ['restore', binary],
]

const listRuleWords: VerbMeaning = (cursor, { draft, state, options }) => {
  const selection = readRuleSelection(cursor, 'ip rule show', draft.names)
  return draft.rules.filter((rule) => isSelected(rule, selection)).map((rule) => printRule(rule, state, options.details))
}

const ruleCommands: readonly (readonly [string, VerbMeaning])[] = [
  ['list', listRuleWords],
  ['lst', listRuleWords],
  ['show', listRuleWords],
  ['save', binary],
  ['restore', binary],
  ['add', (cursor, { draft }) => {
    addRule(readRule(cursor, 'ip rule add', draft.names), draft)
    return []
  }],
  ['delete', (cursor, { draft }) => {
    if (cursor.done) throw syntaxError('"ip rule del" requires arguments', null, 'write e.g. "pref 100"')
    deleteRule(readRule(cursor, 'ip rule del', draft.names), draft)
    return []
  }],
  ['flush', (cursor, { draft }) => {
    flushRules(readRuleSelection(cursor, 'ip rule flush', draft.names), draft)
    return []
  }],
]

const showing = (list: VerbMeaning): readonly (readonly [string, VerbMeaning])[] => [['list', list], ['show', list], ['lst', list]]
/** Verbs that change what is the kernel's. */
const refusedVerbs = (what: string, verbs: readonly string[]): readonly (readonly [string, VerbMeaning])[] =>
  verbs.map((name) => [name, (_, __, verb) => { throw unsupported(verb, `${what} are the kernel's, and tsnat follows them; use ip(8)`) }] as const)

const listAddressWords: VerbMeaning = (cursor, { state, options }) => listAddresses(cursor, state, options)
const listLinkWords: VerbMeaning = (cursor, { state, options }) => listLinks(cursor, state, options)

const addressCommands = [
  ...refusedVerbs('addresses', ['add', 'change', 'chg', 'replace', 'delete']), ...showing(listAddressWords),
  ...refusedVerbs('addresses', ['flush', 'save', 'showdump', 'restore']),
]
const linkCommands = [...refusedVerbs('links', ['add', 'set', 'change', 'replace', 'delete', 'property']), ...showing(listLinkWords)]

const objects: readonly (readonly [string, readonly (readonly [string, VerbMeaning])[], VerbMeaning])[] = [
  ['address', addressCommands, listAddressWords],
  ['route', routeCommands, listRouteWords],
  ['rule', ruleCommands, listRuleWords],
  ['link', linkCommands, listLinkWords],
]

/** What one command prints; its changes are in the draft. @throws IpError */
const runCommand = (words: Command, work: Work): string => {
  const cursor = new Cursor(words)
  const word = cursor.take()
  const object = objects.find(([name]) => abbreviates(word.text, name))
  if (object === undefined) throw unknownWord(word, 'ip', objects.map(([name]) => name))
  const [name, commands, list] = object
  if (cursor.done) return printAll(list(cursor, work, word), work.options)
  const verb = cursor.take()
  const command = commands.find(([full]) => abbreviates(verb.text, full))
  if (command === undefined) throw unknownWord(verb, `ip ${name}`, commands.map(([full]) => full))
  const shows = command[1] === list || command[0] === 'get'
  const printed = command[1](cursor, work, verb)
  return shows ? printAll(printed, work.options) : ''
}

/** Reads the options before the object. @returns the rest */
const readOptions = (cursor: Cursor, given: Options): Options => {
  let options = given
  while (!cursor.done && cursor.word.text.startsWith('-')) {
    const word = cursor.take()
    const option = word.text.replace(/^--?/, '')
    if (option === '4' || abbreviates(option, 'color') || option.startsWith('color=')) continue
    if (option === '6') throw unsupported(word, 'only IPv4 is routed')
    else if (abbreviates(option, 'family')) {
      const family = cursor.take()
      if (family.text !== 'inet') throw unsupported(family, 'only IPv4 is routed')
    } else if (abbreviates(option, 'json')) options = { ...options, json: true }
    else if (abbreviates(option, 'pretty')) options = { ...options, pretty: true }
    else if (abbreviates(option, 'oneline')) options = { ...options, oneLine: true }
    else if (abbreviates(option, 'details')) options = { ...options, details: true }
    else if (abbreviates(option, 'Numeric')) options = { ...options, numeric: true }
    else if (abbreviates(option, 'force')) options = { ...options, force: true }
    else if (abbreviates(option, 'batch')) options = { ...options, batch: cursor.take() }
    else if (abbreviates(option, 'brief')) options = { ...options, brief: true }
    else throw unknownWord(word, 'ip', ['-4', '-json', '-pretty', '-oneline', '-details', '-Numeric', '-color', '-brief', '-force', '-batch'])
  }
  return options
}

const noOptions: Options = { json: false, pretty: false, oneLine: false, details: false, numeric: false, force: false, batch: null, brief: false }
const nothing: IpChanges = { routes: [], rules: false }

const refusedOutcome = (state: IpState, error: unknown): IpOutcome => {
  if (!(error instanceof IpError)) throw error
  return { state, changes: nothing, output: '', errors: [error], exitCode: error.status }
}

const finish = (state: IpState, { draft, options }: Work): Pick<IpOutcome, 'state' | 'changes'> => {
  const finished = draft.finish()
  if (!options.numeric) return finished
  return { ...finished, state: { ...finished.state, names: state.names } }
}

const runAll = (state: IpState, commands: readonly Command[], options: Options, surroundings: IpSurroundings): IpOutcome => {
  const work = new Work(state, options, surroundings)
  const errors: IpError[] = []
  let output = ''
  for (const words of commands) {
    try {
      output += runCommand(words, work)
    } catch (error) {
      if (!(error instanceof IpError)) throw error
      errors.push(error.placed(words[0]!))
      if (!options.force) return { state, changes: nothing, output, errors, exitCode: error.status }
    }
  }
  return { ...finish(state, work), output, errors, exitCode: errors[0]?.status ?? IpStatus.ok }
}

/**
 * A file of commands, as `ip -batch` reads it. One bad command, and nothing changes; with `force`, as with `ip -force`, the
 * others are done.
 *
 * @param text lines like `route add default via 192.0.2.1`
 */
export const runIpBatch = (state: IpState, text: string, { force = false, ...surroundings }: IpSurroundings & { force?: boolean } = {}): IpOutcome =>
  batch(state, text, { ...noOptions, force }, surroundings)

const batch = (state: IpState, text: string, options: Options, surroundings: IpSurroundings): IpOutcome => {
  let commands
  try {
    commands = commandsOf(text)
  } catch (error) {
    return batchFailed(refusedOutcome(state, error))
  }
  return batchFailed(runAll(state, commands, options, surroundings))
}

/** `ip` says no more than that something in the file failed. */
const batchFailed = (outcome: IpOutcome): IpOutcome => (outcome.errors.length === 0 ? outcome : { ...outcome, exitCode: IpStatus.failure })

/** One command line of `ip`: its words behind `ip`. */
export const runIp = (state: IpState, args: readonly string[], surroundings: IpSurroundings = {}): IpOutcome => {
  const words = wordsOf(args)
  try {
    const cursor = new Cursor(words)
    const options = readOptions(cursor, noOptions)
    if (options.batch !== null) return runBatchFile(state, options.batch, options, surroundings)
    const rest: Word[] = []
    while (!cursor.done) rest.push(cursor.take())
    if (rest.length === 0) throw syntaxError('"ip" needs an object', null, 'write "rule", "route", "address" or "link"')
    return runAll(state, [rest], options, surroundings)
  } catch (error) {
    return refusedOutcome(state, error)
  }
}

const runBatchFile = (state: IpState, file: Word, options: Options, surroundings: IpSurroundings): IpOutcome => {
  const { readFile } = surroundings
  if (readFile === undefined) throw unsupported(file, 'no file can be read from here')
  let text
  try {
    text = readFile(file.text)
  } catch (cause) {
    const message = `Cannot open file "${file.text}" for reading: ${cause instanceof Error ? cause.message : String(cause)}`
    throw new IpError(message, { code: 'POLICY_REFUSED', status: IpStatus.failure, word: file })
  }
  return batch(state, text, options, surroundings)
}

/** The file that a command line reads, `-` for the standard input; null when it reads none, or is not understood. */
export const ipInput = (args: readonly string[]): string | null => {
  try {
    return readOptions(new Cursor(wordsOf(args)), noOptions).batch?.text ?? null
  } catch (error) {
    if (error instanceof IpError) return null
    throw error
  }
}

/** An error as text: what `ip` would print for what the kernel refuses; the place in front for a file, the hint on a line of its own. */
export const errorText = ({ message, hint, word }: IpError, file: string | null = null): string => {
  const place = file === null || word === null ? '' : `${file}:${word.line}:${word.column}: `
  return `${place}${message}\n${hint === undefined ? '' : `  ${hint}\n`}`
}
