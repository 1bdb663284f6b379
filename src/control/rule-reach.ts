/**
 * What rules of table nat make tsnat's on the outside: ports of shared addresses that they send elsewhere, ports and addresses that they
 * give to sources. The WAN has to hear them, and the host's kernel to keep off them.
 *
 * It is read off the rules without packets, so it is what they may do at most: of a rule only its chain, protocol, destination, incoming
 * interface and ports are looked at, and a negated test is none.
 */
import type { Network } from '../host/guard-rules.js'
import { type PortSet, portSet, unitePorts } from '../host/port-set.js'
import { type HostPorts, PORT_PROTOCOLS, type PortProtocol } from '../host/ports.js'
import type { Chain, HookName, Range, Rule, RuleSpec, Ruleset, Target } from '../policy/model.js'
import { parseProtocol } from '../protocol-names.js'
import { PROTOCOL_ICMP } from '../stack/wire/ipv4.js'
import { byProtocol } from './forward-plan.js'

export interface RuleReach {
  /** Ports of outside addresses whose packets rules send elsewhere, by protocol. */
  readonly ports: HostPorts
  /** Pings of outside addresses are sent elsewhere. */
  readonly pings: boolean
  /** Ports that rules give to sources. */
  readonly sources: PortSet
  /** Addresses that rules give to sources, or take packets for. */
  readonly networks: readonly Network[]
  /** Networks inside whose hosts may be spoken to as they are: only what rules say is translated, or some of it is not tracked. */
  readonly inside: readonly Network[]
}

export const NO_REACH: RuleReach = { ports: byProtocol(() => []), pings: false, sources: [], networks: [], inside: [] }

const ALL_PORTS: readonly Range[] = [{ first: 1, last: 65535 }]

/** What is known of a packet that reaches a rule. Null: anything. */
interface Reached {
  readonly protocol: number | null
  readonly ports: readonly Range[] | null
  readonly destination: Network | null
}

const ANYTHING: Reached = { protocol: null, ports: null, destination: null }

const portsOf = ({ matches }: RuleSpec): readonly Range[] | null => {
  for (const match of matches) {
    if ((match.module === 'tcp' || match.module === 'udp') && match.destination !== null && !match.destination.not) return [match.destination]
    if (match.module === 'multiport' && match.direction === 'destination' && !match.not) return match.ports
  }
  return null
}

const narrow = (before: Reached, spec: RuleSpec): Reached => ({
  protocol: spec.protocol !== null && !spec.protocol.not ? spec.protocol.number : before.protocol,
  ports: portsOf(spec) ?? before.ports,
  destination: spec.destination !== null && !spec.destination.not ? spec.destination : before.destination,
})

/** Calls `meet` for each rule with a target other than a chain that packets of a hook can reach. @param passes leaves out rules that they cannot */
const walk = (chains: readonly Chain[], hook: HookName, passes: (spec: RuleSpec) => boolean, meet: (target: Target, reached: Reached) => void): void => {
  const byName = new Map(chains.map((chain) => [chain.name, chain]))
  const enter = (name: string, reached: Reached): void => {
    for (const { spec } of byName.get(name)?.rules ?? ([] as readonly Rule[])) {
      const { target } = spec
      if (target === null || !passes(spec)) continue
      if (target.kind === 'jump' || target.kind === 'goto') enter(target.chain, narrow(reached, spec))
      else meet(target, narrow(reached, spec))
    }
  }
  enter(hook, ANYTHING)
}

/** Ranges of addresses as networks. */
const networksOf = ({ first, last }: Range): Network[] => {
  const found: Network[] = []
  const high = last >>> 0
  let low = first >>> 0
  while (low <= high) {
    // The largest network that begins here and ends in time.
    let size = low === 0 ? 2 ** 32 : low & -low
    if (size < 0) size += 2 ** 32
    while (low + size - 1 > high) size /= 2
    found.push({ address: low | 0, mask: ~(size - 1) | 0 })
    low += size
  }
  return found
}

/** Whether a socket of tsnat's may have the address of an inside host: transparent ones speak to servers in their clients' names. */
const isTakenForSockets = ({ spec: { matches, target } }: Rule): boolean =>
  target?.kind === 'TPROXY' || matches.some(({ module }) => module === 'socket')

/** Whether something may leave with the address of its inside host. */
const leavesAsItIs = ({ nat, raw, mangle }: Ruleset['tables']): boolean =>
  mangle.chains.some(({ rules }) => rules.some(isTakenForSockets)) ||
  nat.chains.some(({ name, rules }) => name === 'POSTROUTING' && rules.length > 0) ||
  raw.chains.some(({ rules }) => rules.some(({ spec: { target } }) => target?.kind === 'NOTRACK' || (target?.kind === 'CT' && target.notrack)))

/**
 * @param lan name of the LAN's interface: what is only for packets from there is not on the outside
 * @param inside networks that routes lead into the LAN; asked only where it matters
 */
export const reachOf = ({ tables }: Ruleset, lan: string, inside: () => readonly Network[]): RuleReach => {
  const { chains } = tables.nat
  const ports = new Map<PortProtocol, Range[]>(PORT_PROTOCOLS.map((name) => [name, []]))
  const networks: Network[] = []
  let sources: PortSet = []
  let pings = false
  const comesFromOutside = ({ inInterface }: RuleSpec): boolean => inInterface === null || inInterface.not || inInterface.wildcard || inInterface.name !== lan
  walk(chains, 'PREROUTING', comesFromOutside, (target, reached) => {
    if (target.kind !== 'DNAT' && target.kind !== 'REDIRECT' && target.kind !== 'NETMAP') return
    if (reached.destination !== null) networks.push({ address: reached.destination.address, mask: reached.destination.mask })
    for (const name of PORT_PROTOCOLS) {
      if (reached.protocol === null || reached.protocol === parseProtocol(name)) ports.get(name)!.push(...(reached.ports ?? ALL_PORTS))
    }
    if (reached.protocol === null || reached.protocol === PROTOCOL_ICMP) pings = true
  })
  walk(chains, 'POSTROUTING', () => true, (target) => {
    if (target.kind === 'NETMAP') networks.push({ address: target.address, mask: target.mask })
    if (target.kind === 'SNAT' && target.addresses !== null) networks.push(...networksOf(target.addresses))
    if ((target.kind === 'SNAT' || target.kind === 'MASQUERADE') && target.ports !== null) sources = unitePorts(sources, portSet([target.ports]))
  })
  return { ports: byProtocol((name) => portSet(ports.get(name)!)), pings, sources, networks, inside: leavesAsItIs(tables) ? inside() : [] }
}
