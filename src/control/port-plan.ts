/**
 * Which outside ports are tsnat's, on all WANs: those that are allowed and those of the forwards, without what sockets of the host hold
 * on a shared address. The host's sockets come and go, so it is asked again from time to time (`refresh`).
 */
import type { Logger } from 'pino'
import type { Config } from '../config.js'
import { parseForward } from '../forward-text.js'
import { canReservePorts } from '../host/changes.js'
import type { NetworkNamespace } from '../host/namespace.js'
import { formatPorts, intersectPorts, parsePorts, type PortSet, subtractPorts, unitePorts } from '../host/port-set.js'
import { defaultPorts, type HostPorts, hostPorts, localPortRange, PORT_PROTOCOLS, type PortProtocol, usablePorts } from '../host/ports.js'
import type { Forward } from '../nat/forwards.js'
import type { PortRange } from '../stack/port-range.js'
import { byProtocol, forwardedPorts, usableForwards } from './forward-plan.js'
import { NO_REACH, type RuleReach } from './rule-reach.js'

const ALL_PORTS = '1-65535'
/** Ports below are not for clients, where there are others (RFC 6056 3.2). */
const EPHEMERAL_MIN = 1024

export const rangesOf = (ports: PortSet): PortRange[] => ports.map(({ first, last }) => [first, last] as const)

/** Ports of all protocols together. */
const unite = (ports: HostPorts): PortSet => PORT_PROTOCOLS.reduce<PortSet>((sum, name) => unitePorts(sum, ports[name]), [])

export class PortPlan {
  readonly #log: Logger
  readonly #namespace: NetworkNamespace
  /** The kernel has the addresses of a WAN too. */
  readonly #isShared: boolean
  /** Ports that may be used, before those that the host's sockets hold are taken out. */
  readonly #allowed: PortSet
  readonly #forwards: readonly Forward[]
  #reportedTaken = ''
  /** Ports for new mappings. */
  usable: PortSet = []
  /** Forwards that no socket of the host keeps off. */
  forwards: readonly Forward[] = []
  /** Ports that are tsnat's and not a socket's of the host, by protocol, and those of either protocol. */
  guarded: HostPorts = byProtocol(() => [])
  any: PortSet = []
  /** What rules make tsnat's. Takes effect with the next `refresh`. */
  reach: RuleReach = NO_REACH
  /** Ports that tsnat's own sockets are bound to. Takes effect with the next `refresh`. */
  bound: HostPorts = byProtocol(() => [])

  constructor(config: Pick<Config, 'ports' | 'forwards' | 'wans'>, namespace: NetworkNamespace, log: Logger) {
    this.#log = log
    this.#namespace = namespace
    this.#isShared = config.wans.some(({ address }) => address === 'shared')
    this.#forwards = config.forwards.map((text) => parseForward(text)!)
    if (config.ports !== undefined) this.#allowed = parsePorts(config.ports)
    else if (!this.#isShared) this.#allowed = parsePorts(ALL_PORTS)
    else this.#allowed = defaultPorts(localPortRange(namespace), canReservePorts(namespace))
  }

  /** Ports that packets may come to. */
  get heard(): PortSet {
    const { ports, sources } = this.reach
    return [unite(forwardedPorts(this.#forwards)), unite(ports), sources, unite(this.bound)].reduce(unitePorts, this.#allowed)
  }

  /** The widest range of ports for tsnat's own sockets to choose from, as few as one where there is none: the connection is then refused. */
  get ephemeral(): PortRange {
    const widest = this.usable.reduce((best, range) => (range.last - range.first > best.last - best.first ? range : best), this.usable[0] ?? { first: 1, last: 1 })
    return [Math.max(widest.first, widest.last >= EPHEMERAL_MIN ? EPHEMERAL_MIN : widest.first), widest.last]
  }

  /** Ports of tsnat's own sockets in a range, of any protocol. */
  boundWithin(range: { readonly first: number; readonly last: number }): PortSet {
    return intersectPorts(unite(this.bound), [range])
  }

  /** Takes out what sockets of the host hold on these addresses. Returns true when that changed something. */
  refresh(kernelAddresses: readonly number[]): boolean {
    let held: HostPorts = byProtocol(() => [])
    if (this.#isShared) {
      held = hostPorts(this.#namespace, kernelAddresses)
      this.usable = usablePorts(unitePorts(this.#allowed, this.reach.sources), unite(held))
      this.forwards = usableForwards(this.#forwards, held)
      this.#reportTaken(held)
    } else {
      this.usable = unitePorts(this.#allowed, this.reach.sources)
      this.forwards = this.#forwards
    }
    const forwarded = forwardedPorts(this.forwards)
    const before = this.guarded
    const after = byProtocol((name) => [forwarded[name], subtractPorts(unitePorts(this.reach.ports[name], this.bound[name]), held[name])].reduce(unitePorts, this.usable))
    if (PORT_PROTOCOLS.every((name) => formatPorts(after[name]) === formatPorts(before[name]))) return false
    this.guarded = after
    this.any = unite(after)
    return true
  }

  /** Says, each time it changes, which forwards the host's own sockets keep off. */
  #reportTaken(held: HostPorts): void {
    const forwarded = forwardedPorts(this.#forwards)
    const of = (name: PortProtocol): [PortProtocol, string] => [name, formatPorts(intersectPorts(forwarded[name], held[name]))]
    const taken = Object.fromEntries(PORT_PROTOCOLS.map(of).filter(([, ports]) => ports !== ''))
    const text = JSON.stringify(taken)
    if (text === this.#reportedTaken) return
    this.#reportedTaken = text
    if (Object.keys(taken).length > 0) this.#log.warn(taken, 'a program of this host has forwarded ports: they are its own, not forwarded')
  }
}
