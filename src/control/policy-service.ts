/**
 * Rules, routes and sets of a running gateway, in words.
 *
 * Theory of operation. One immutable state (`PolicyState`) is what the commands see and change. Commands come one after the other: a
 * command runs on the state, what it changes is sent to the data plane, and the new state is kept once that is in effect there. A
 * command that is refused leaves everything as it was.
 *
 * The data plane knows two things better: counters, and elements that rules have added to sets or taken out. They are asked for before a
 * command that shows them or builds on them. Until `attach` there is no data plane: the state can be loaded, and `startMessages` tells
 * all of it to the one that begins.
 */
import type { Logger } from 'pino'
import type { PolicyAnswer, PolicyRequest } from '../api/types.js'
import {
  allRoutes, builtInNames, initialState, type IpChanges, type IpState, withFollowed, withTables,
} from '../policy/iproute/index.js'
import { editsOf, type NamedSet, NO_SETS, takeElements, takeMembers } from '../policy/ipset/index.js'
import { emptyRuleset, withCounters } from '../policy/iptables/index.js'
import type { Ruleset } from '../policy/model.js'
import { LIST_KIND } from '../policy/sets/edits.js'
import { ruleMessages, type ToPolicy } from '../policy-protocol.js'
import type { Device } from '../route/connected.js'
import type { RoutingUpdate } from '../route/router.js'
import { RouteTables } from '../route/tables.js'
import type { PrefixRoutes } from '../route/types.js'
import { changesInside } from './inside-networks.js'
import { onlyCounters, unknownInterfaces } from './policy-checks.js'
import { type PolicyLink, setMessages } from './policy-link.js'
import { loadPolicy, type PolicyTexts } from './policy-load.js'
import { setsToTakeOver } from './policy-sets.js'
import { type PolicyState, runTool, type ToolResult, type ToolSurroundings } from './policy-tools.js'

/** Prefixes of one message. */
const PREFIXES_PER_MESSAGE = 512
/** Prefixes from which on all tables are made anew here, and taken over at once. */
const PREFIXES_IN_PLACE = 8192

export interface PolicyServiceOptions {
  readonly log: Logger
  /** Names of the gateway's interfaces, in the order of their numbers from 1 on. */
  readonly interfaces: readonly string[]
  /** Of the choice among several next hops; the data plane gets it, too. */
  readonly seed: number
  /** Milliseconds on the data plane's clock. */
  readonly now: () => number
  /** 32 random bits. */
  readonly random: () => number
  readonly date?: () => Date
  /** Names of routing tables beyond those that everybody has; asked before each command. */
  readonly tableNames?: () => ReadonlyMap<number, string>
}

export class PolicyService {
  readonly #options: PolicyServiceOptions
  #state: PolicyState
  #link: PolicyLink | null = null
  #followed: readonly PrefixRoutes[] = []
  /** Links whose checks fail, by number. */
  readonly #failed = new Set<number>()
  /** Devices that the data plane takes for dead. */
  #dead: ReadonlySet<number> = new Set()
  readonly #warned = new Set<string>()
  /** Commands are worked off one after the other. */
  #queue: Promise<unknown> = Promise.resolve()

  constructor(options: PolicyServiceOptions) {
    this.#options = options
    this.#state = { ruleset: emptyRuleset(), ip: initialState([], builtInNames), sets: NO_SETS }
  }

  get seed(): number {
    return this.#options.seed
  }

  /** Told of other rules, or of other networks inside, before they take effect, which waits for it. */
  onReach: (state: PolicyState) => Promise<void> = () => Promise.resolve()

  /** The rules as they are now. */
  get ruleset(): Ruleset {
    return this.#state.ruleset
  }

  /** As it is now. Counters, and elements of sets that rules change, may be older. */
  get state(): PolicyState {
    return this.#state
  }

  /** Takes over rules, sets and routes before there is a data plane. @throws TsnatError that says where; nothing has changed then */
  load(texts: PolicyTexts): void {
    const before = this.#state
    this.#state = loadPolicy(this.#named(before), texts, this.#surroundings())
    this.#warn(before, this.#state)
  }

  /** Everything, for a data plane that has nothing yet. */
  startMessages(): ToPolicy[] {
    const { ruleset, ip, sets } = this.#state
    this.#dead = this.#deadDevices()
    return [
      ...setMessages(editsOf(sets, this.#options.now())),
      ...ruleMessages(0, ruleset, setNumbers(this.#state)),
      ...tableMessages(ip, { routes: allRoutes(ip), rules: true }, true),
      ...[...this.#dead].map((device): ToPolicy => ({ type: 'device-dead', device, dead: true })),
    ]
  }

  /** From now on changes go to this data plane, which has begun with `startMessages`. */
  attach(link: PolicyLink): void {
    this.#link = link
  }

  /** Runs a command. Resolves when what it changes is in effect. @throws TsnatError STOPPING when the data plane is gone */
  run(request: PolicyRequest): Promise<PolicyAnswer> {
    return this.#next(() => this.#run(request))
  }

  /**
   * Interfaces and the routes that are followed from elsewhere have changed; what commands have changed stays.
   * @param followed all of them from now on, those that the interfaces have by their addresses among them
   */
  setLinks(devices: readonly Device[], followed: readonly PrefixRoutes[]): Promise<void> {
    return this.#next(async () => {
      const before = this.#state.ip
      const { state, changes } = withFollowed(before, devices, this.#followed, followed)
      this.#followed = followed
      this.#state = { ...this.#state, ip: state }
      if (this.#link === null) return
      if (changesInside(before, changes)) await this.onReach(this.#state)
      this.#link.send(tableMessages(state, changes, true))
      this.#sendDead()
      await this.#link.sync()
    })
  }

  /** A link's checks fail, or succeed again: its next hops are dead, or alive. @param device number of the interface */
  setFailed(device: number, failed: boolean): Promise<void> {
    return this.#next(async () => {
      if (failed) this.#failed.add(device)
      else this.#failed.delete(device)
      this.#sendDead()
      await this.#link?.sync()
    })
  }

  async #run(request: PolicyRequest): Promise<PolicyAnswer> {
    const state = await this.#takeOver(this.#named(this.#state), request)
    const result = runTool(state, request, this.#surroundings())
    const answer = result.answer.output === '' ? result.answer : { ...result.answer, output: await this.#listed(state, request, result) }
    this.#warn(state, result.state)
    this.#state = await this.#apply(state, result)
    return answer
  }

  /** What a command prints: with counters of now, and next hops that are dead. */
  async #listed(state: PolicyState, request: PolicyRequest, { answer }: ToolResult): Promise<string> {
    if (request.tool === 'ipset') return answer.output
    if (request.tool === 'ip') {
      const devices = state.ip.devices.map((device) => (this.#failed.has(device.number) ? { ...device, up: false } : device))
      return runTool({ ...state, ip: { ...state.ip, devices } }, request, this.#surroundings()).answer.output
    }
    if (this.#link === null) return answer.output
    return runTool({ ...state, ruleset: withCounters(state.ruleset, await this.#link.counters()) }, request, this.#surroundings()).answer.output
  }

  /** Sends what changed. Returns the state to go on with. */
  async #apply(before: PolicyState, { state, edits, changes }: ToolResult): Promise<PolicyState> {
    const counted = onlyCounters(before.ruleset, state.ruleset)
    const after = counted === null ? state : { ...state, ruleset: counted.ruleset }
    const link = this.#link
    if (link === null) return after
    if (counted !== null) await link.setCounters(counted.counters)
    else if (before.ruleset !== state.ruleset) {
      await this.onReach(state)
      await link.useRules(state.ruleset, setNumbers(state))
    }
    if (counted === null && before.ruleset === state.ruleset && changesInside(before.ip, changes)) await this.onReach(state)
    const rest = [...setMessages(edits), ...tableMessages(state.ip, changes, false)]
    if (rest.length === 0) return after
    link.send(rest)
    await link.sync()
    return after
  }

  /** The state with what the data plane has in sets that the command asks about. */
  async #takeOver(state: PolicyState, request: PolicyRequest): Promise<PolicyState> {
    if (this.#link === null || request.tool !== 'ipset') return state
    let { sets } = state
    for (const set of setsToTakeOver(state, request)) {
      sets = set.kind === LIST_KIND
        ? takeMembers(sets, set.name, await this.#link.members(set.id))
        : takeElements(sets, set.name, await this.#link.elements(set.id), this.#options.now())
    }
    return { ...state, sets }
  }

  #surroundings(): ToolSurroundings {
    const { now, date = () => new Date(), random, seed } = this.#options
    return { now: now(), date: date(), random, seed }
  }

  #named(state: PolicyState): PolicyState {
    const tables = this.#options.tableNames?.()
    return tables === undefined ? state : { ...state, ip: { ...state.ip, names: withTables(builtInNames, tables) } }
  }

  #deadDevices(): Set<number> {
    return new Set([...this.#failed, ...this.#state.ip.devices.filter(({ up }) => !up).map(({ number }) => number)])
  }

  #sendDead(): void {
    const dead = this.#deadDevices()
    const changed = [...new Set([...dead, ...this.#dead])].filter((device) => dead.has(device) !== this.#dead.has(device))
    this.#dead = dead
    this.#link?.send(changed.map((device) => ({ type: 'device-dead', device, dead: dead.has(device) })))
  }

  /** A rule may name an interface that is not there, on purpose or not: that is told once. */
  #warn(before: PolicyState, after: PolicyState): void {
    for (const name of unknownInterfaces(before.ruleset, after.ruleset, this.#options.interfaces)) {
      if (this.#warned.has(name)) continue
      this.#warned.add(name)
      this.#options.log.warn({ interface: name, known: this.#options.interfaces }, `a rule names the interface ${name}, which tsnat does not have`)
    }
  }

  #next<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#queue.then(work)
    this.#queue = done.catch(() => {})
    return done
  }
}

const setNumbers = ({ sets }: PolicyState): (readonly [string, number])[] => [...sets.sets.values()].map(({ name, id }: NamedSet) => [name, id] as const)

/** A change of routes and rules as messages. @param devices whether interfaces have changed, too */
function* tableMessages(state: IpState, { routes, rules }: IpChanges, devices: boolean): Generator<ToPolicy> {
  const rest: Pick<RoutingUpdate, 'rules' | 'interfaces'> = {
    rules: rules ? state.rules : null, interfaces: devices ? state.devices.map(({ name, number }) => [name, number] as const) : null,
  }
  if (routes.length > PREFIXES_IN_PLACE) {
    const tables = new RouteTables()
    for (const prefix of allRoutes(state)) tables.set(prefix)
    yield { type: 'tables', image: tables.image(), update: rest }
    return
  }
  for (let at = 0; at < routes.length; at += PREFIXES_PER_MESSAGE) {
    yield { type: 'routing', update: { routes: routes.slice(at, at + PREFIXES_PER_MESSAGE), rules: null, interfaces: null } }
  }
  if (rules || devices) yield { type: 'routing', update: { routes: [], ...rest } }
}
