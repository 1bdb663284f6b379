/**
 * Chooses the outside endpoint of a new mapping, or of a new flow where ports are shared: address and port together.
 *
 *     without ports           its address, if no other flow leads to this remote (GRE, ESP and whatever goes by address)
 *     from a forwarded port   the forward's outside endpoint, if that is free
 *     deterministic NAT       the inside host's address; a random port of its own range, then of its blocks beyond
 *     port blocks             its address; a random port of its blocks
 *     otherwise               its address; by selection:
 *       preserve                the inside port; where that is not free, a random one of its class (RFC 6056 3.3.2; a port is
 *                               randomised only when it has to change). Where ports are shared, before both: the endpoint that
 *                               the inside endpoint has towards others, as netfilter does it
 *       random, fully-random    a random one of the class of the inside port
 *       sequential              the next one of that class
 *
 * "Its address" is the route's, or the pool's (address-pool.ts); where pooling allows, the next address is tried when one is
 * full. Every policy gives only ports that the pool of ports allows, that are no forward's, that do not rest and that are free
 * towards the remote. Every search is bounded by the ports of one class, and not repeated within a second.
 */
import { Drop } from '../drop.js'
import { isByAddress, type Packet } from '../stack/parse.js'
import { PROTOCOL_ICMP } from '../stack/wire/ipv4.js'
import type { AddressPool } from './address-pool.js'
import { isShared, SELECT_PRESERVE, SELECT_SEQUENTIAL, selectionOf } from './behaviour.js'
import type { DeterministicPlan } from './deterministic.js'
import { type FlowTable, SIDE_DESTINATION, SIDE_PORTS, SIDE_WORDS, ZONE_SELF } from './flow-table.js'
import type { Forwards } from './forwards.js'
import type { Mappings } from './mappings.js'
import type { PortBlocks } from './port-blocks.js'
import { PortCursors } from './port-cursors.js'
import type { PortHold } from './port-hold.js'
import { ANY_PARITY, CLASS_IDENTIFIER, classOfPort, netfilterClassOfPort, type PortPool } from './port-pool.js'
import type { RandomSource } from '../stack/random.js'
import type { Rewrite } from './open-flow.js'
import { SharedEndpoints } from './shared-endpoints.js'

/**
 * Remotes found without a free port of a class in this second are not searched again: a search of a full class costs too
 * much to be asked for at will.
 */
const EXHAUSTED_SLOTS = 256

/** Ports that a rule asks for. */
export interface AskedPorts {
  /** Inclusive; both 0 for any of the port's class. */
  readonly first: number
  readonly last: number
  /** The port that the packet has is no better than others. */
  readonly isRandom: boolean
}

export interface EndpointChooserParts {
  readonly table: FlowTable
  readonly mappings: Mappings
  /** Outside TCP and UDP ports, and ICMP query identifiers. */
  readonly ports: PortPool
  readonly addresses: AddressPool
  readonly forwards: Forwards
  readonly hold: PortHold
  /** Port blocks, also those beyond the ports that deterministic NAT gives; null for none. */
  readonly blocks: PortBlocks | null
  readonly deterministic: DeterministicPlan | null
  /** Even ports become even ones, odd ports odd ones (RFC 4787 REQ-4). */
  readonly parity: boolean
  /**
   * Use an ICMP identifier unchanged where it is free. Not where the host's kernel has the address too: a reply to a ping of
   * the host itself that went through here would reach it twice.
   */
  readonly keepIdentifiers: boolean
  readonly random: RandomSource
}

/** Outside ports that are none of a flow's. */
export interface OtherPorts {
  /** Whether a socket of the gateway has the port, so that no flow to this remote can have it. */
  isSockets(protocol: number, address: number, port: number, remote: number, remotePort: number): boolean
}

export class EndpointChooser {
  readonly #table: FlowTable
  readonly #mappings: Mappings
  readonly #ports: PortPool
  readonly #addresses: AddressPool
  readonly #forwards: Forwards
  readonly #hold: PortHold
  readonly #blocks: PortBlocks | null
  readonly #deterministic: DeterministicPlan | null
  readonly #parity: boolean
  readonly #keepIdentifiers: boolean
  readonly #random: RandomSource
  readonly #shared: SharedEndpoints
  readonly #cursors = new PortCursors()
  readonly #exhaustedKeys = new Int32Array(EXHAUSTED_SLOTS)
  readonly #exhaustedAt = new Int32Array(EXHAUSTED_SLOTS).fill(-1)
  /** Ports that somebody else has than flows; null: nobody. */
  others: OtherPorts | null = null
  /** Whether the gateway itself has a connection with these ends, that this packet does not belong to. */
  isConnected: (packet: Packet, remote: number, remotePort: number, own: number, ownPort: number) => boolean = () => false
  // The flow under construction, for #isFree.
  #packet!: Packet
  #rewrite!: Rewrite
  #isShared = false
  #now = 0
  /** The flow is to be found by its inside endpoint. */
  #isRemembered = false
  /** The endpoint chosen last is the one that the inside endpoint has wherever that is free. */
  #isOwn = true
  /** A port that was just made free, or -1. */
  #offered = -1
  /** A port is free for an exclusive mapping when no mapping has it and it does not rest; and always only when the reply key is. */
  readonly #isFree = (port: number): boolean => {
    const { source, destination, destinationPort } = this.#rewrite
    const { protocol, source: inside, ports } = this.#packet
    if (this.others?.isSockets(protocol, source, port, destination, destinationPort) === true) return false
    if (this.#mappings.findOutside(source, port, protocol) >= 0 || this.#forwards.has(protocol, source, port)) return false
    if (!this.#isShared && !this.#hold.isFree(source, protocol, port, inside, ports >>> 16, this.#now)) return false
    return !this.isTaken(this.#packet, this.#rewrite, port)
  }

  constructor(parts: EndpointChooserParts) {
    this.#table = parts.table
    this.#mappings = parts.mappings
    this.#ports = parts.ports
    this.#addresses = parts.addresses
    this.#forwards = parts.forwards
    this.#hold = parts.hold
    this.#blocks = parts.blocks
    this.#deterministic = parts.deterministic
    this.#parity = parts.parity
    this.#keepIdentifiers = parts.keepIdentifiers
    this.#random = parts.random
    this.#shared = new SharedEndpoints(parts.table, parts.random.next())
  }

  /** Whether a free port of an outside address is anybody's who has that address. */
  get isUnbound(): boolean {
    return this.#blocks === null && this.#deterministic === null
  }

  /** A port that was made free: the next flow takes it before it looks for another. Only where ports are unbound. */
  offer(port: number): void {
    this.#offered = port
  }

  /** Whether the reply key that a flow with this outside port would have is another flow's, or a connection's of the gateway itself. */
  isTaken(packet: Packet, { source, destination, destinationPort, egress }: Rewrite, port: number): boolean {
    if (this.#table.find(destination, source, (destinationPort << 16) | port, packet.protocol | (egress << 8)) >= 0) return true
    return egress === ZONE_SELF && this.isConnected(packet, source, port, destination, destinationPort)
  }

  /**
   * Chooses for `packet`, which is to go to the destination in `rewrite`. The address there is the first one to try; it is
   * replaced when another one is chosen.
   * @param behaviour packed, behaviour.ts; @param now seconds
   * @returns the port or identifier, or -(drop code)
   */
  choose(packet: Packet, zone: number, rewrite: Rewrite, behaviour: number, now: number): number {
    this.#packet = packet
    this.#rewrite = rewrite
    this.#isShared = isShared(behaviour)
    this.#isRemembered = false
    this.#isOwn = false
    this.#now = now
    const plan = this.#deterministic
    const index = plan === null ? -1 : plan.indexOf(packet.source)
    if (plan !== null) {
      if (index < 0) return -Drop['no-ports-for-host']
      rewrite.source = plan.addressOf(index)
    }
    if (isByAddress(packet.protocol)) {
      const port = plan === null ? this.#chooseAddress(behaviour) : this.#freeOfPorts()
      return port === -1 ? -Drop['ports-exhausted'] : port
    }
    const forwarded = this.#chooseForwarded()
    if (forwarded >= 0) return forwarded
    const port = plan !== null
      ? this.#chooseComputed(plan, index)
      : this.#blocks !== null ? this.#chooseAddress(behaviour) : this.#chooseUnbound(zone, behaviour)
    return port === -1 ? -Drop['ports-exhausted'] : port
  }

  /**
   * Chooses a port of the address in `rewrite` as netfilter does for a rule: unique is the whole of what replies have, so that flows to
   * different remotes may share a port. Its own one where that may be, else a random one.
   * @param now seconds
   * @returns the port or identifier, or -(drop code)
   */
  chooseAsked(packet: Packet, rewrite: Rewrite, { first, last, isRandom }: AskedPorts, now: number): number {
    this.#packet = packet
    this.#rewrite = rewrite
    this.#isShared = true
    this.#isRemembered = false
    this.#now = now
    const { protocol, ports } = packet
    const wanted = ports >>> 16
    const isIcmp = protocol === PROTOCOL_ICMP
    if (isByAddress(protocol)) return this.isTaken(packet, rewrite, 0) ? -Drop['ports-exhausted'] : 0
    const isAllowed = isIcmp ? this.#keepIdentifiers && this.#ports.hasIdentifier(wanted) : this.#ports.has(wanted)
    const isAsked = last === 0 || (wanted >= first && wanted <= last)
    if (!isRandom && isAllowed && isAsked && this.#isFree(wanted)) return wanted
    const portClass = isIcmp ? CLASS_IDENTIFIER : netfilterClassOfPort(wanted)
    const key = this.#key(last === 0 ? portClass : (first << 16) | last)
    if (this.#isExhausted(key)) return -Drop['ports-exhausted']
    const port = last === 0
      ? this.#ports.draw(portClass, ANY_PARITY, this.#random, this.#isFree)
      : this.#ports.drawWithin(first, last - first + 1, ANY_PARITY, this.#random, this.#isFree)
    return this.#note(key, port) < 0 ? -Drop['ports-exhausted'] : port
  }

  /** A flow from inside was opened with what was chosen last, as the first of its mapping or sharing its port. */
  begin(flow: number, inside: number, outside: number, port: number): void {
    this.#blocks?.begin(outside, port, inside)
    if (this.#isRemembered) this.#shared.add(flow, this.#isOwn)
  }

  /** A flow ends, of whatever kind. */
  forget(flow: number): void {
    this.#shared.remove(flow)
  }

  /** A mapping ends, or a flow that shares its port. @param now seconds */
  end(inside: number, outside: number, port: number, now: number): void {
    this.#blocks?.end(outside, port, inside, now)
  }

  /** 0 where the address is free, or -1: without ports it has one flow to a remote, and none where a forward leads that remote to another host. */
  #freeOfPorts(): number {
    const { protocol, source: inside } = this.#packet
    const { source, destination } = this.#rewrite
    const isOthers = this.#forwards.find(protocol, source, 0, destination) && this.#forwards.address !== inside
    return isOthers || this.isTaken(this.#packet, this.#rewrite, 0) ? -1 : 0
  }

  /** The outside port of a forward to the inside endpoint, where it is free towards this remote; else -1. */
  #chooseForwarded(): number {
    const { protocol, source: inside, ports } = this.#packet
    const { source, destination } = this.#rewrite
    if (!this.#forwards.findInside(protocol, inside, ports >>> 16, source, destination)) return -1
    const port = this.#forwards.outsidePort
    return this.#mappings.findOutside(source, port, protocol) < 0 && !this.isTaken(this.#packet, this.#rewrite, port) ? port : -1
  }

  #chooseUnbound(zone: number, behaviour: number): number {
    const offered = this.#offered
    this.#offered = -1
    if (offered >= 0 && this.#ports.has(offered) && this.#isFree(offered)) return offered
    if (this.#isShared && selectionOf(behaviour) === SELECT_PRESERVE) {
      this.#isRemembered = true
      const { protocol, source, ports } = this.#packet
      const newest = this.#shared.newest(source, ports >>> 16, protocol | (zone << 8))
      if (newest >= 0 && this.#canJoin(newest)) return this.#portOf(newest)
    }
    return this.#chooseAddress(behaviour)
  }

  /** The address there is, then others. */
  #chooseAddress(behaviour: number): number {
    const rewrite = this.#rewrite
    const port = this.#choosePort(behaviour)
    if (port >= 0 || this.#addresses.isEmpty) return port
    const first = rewrite.source
    for (let attempt = 1; attempt < this.#addresses.tries; attempt++) {
      rewrite.source = this.#addresses.choose(this.#packet.source, rewrite.destination, attempt, rewrite.egress)
      if (rewrite.source === 0) break
      const other = this.#choosePort(behaviour)
      if (other >= 0) {
        this.#isOwn = false
        return other
      }
    }
    rewrite.source = first
    return -1
  }

  #choosePort(behaviour: number): number {
    const { protocol, source: inside, ports } = this.#packet
    if (isByAddress(protocol)) return this.#freeOfPorts()
    const { source } = this.#rewrite
    const wanted = ports >>> 16
    if (this.#blocks !== null) {
      const key = this.#key(inside)
      if (this.#isExhausted(key)) return -1
      return this.#note(key, this.#blocks.choose(source, inside, this.#parityOf(wanted), this.#isFree, this.#now))
    }
    const isIcmp = protocol === PROTOCOL_ICMP
    const portClass = isIcmp ? CLASS_IDENTIFIER : this.#isShared ? netfilterClassOfPort(wanted) : classOfPort(wanted)
    const selection = selectionOf(behaviour)
    if (selection === SELECT_PRESERVE && (isIcmp ? this.#keepIdentifiers && this.#ports.hasIdentifier(wanted) : this.#ports.has(wanted)) && this.#isFree(wanted)) {
      this.#isOwn = this.#addresses.isFixed
      return wanted
    }
    const key = this.#key(portClass)
    if (this.#isExhausted(key)) return -1
    if (selection !== SELECT_SEQUENTIAL) return this.#note(key, this.#ports.draw(portClass, this.#parityOf(wanted), this.#random, this.#isFree))
    const last = this.#cursors.last(source, protocol, portClass)
    const next = this.#ports.next(portClass, last, this.#parityOf(wanted), this.#isFree)
    if (next >= 0) this.#cursors.set(source, protocol, portClass, next)
    return this.#note(key, next)
  }

  /** RFC 7422. @param index number of the inside host, whose address is chosen already */
  #chooseComputed(plan: DeterministicPlan, index: number): number {
    const { source: inside, ports } = this.#packet
    const key = this.#key(inside)
    if (this.#isExhausted(key)) return -1
    const parity = this.#parityOf(ports >>> 16)
    const port = this.#ports.drawWithin(plan.firstPortOf(index), plan.portsPerHost, parity, this.#random, this.#isFree)
    if (port >= 0 || this.#blocks === null) return this.#note(key, port)
    return this.#note(key, this.#blocks.choose(this.#rewrite.source, inside, parity, this.#isFree, this.#now))
  }

  /** Whether the outside endpoint of a flow may be this one's, too. */
  #canJoin(flow: number): boolean {
    const port = this.#portOf(flow)
    const address = this.#table.sides[(flow * 2 + 1) * SIDE_WORDS + SIDE_DESTINATION]!
    const rewrite = this.#rewrite
    const first = rewrite.source
    if (this.#addresses.isEmpty ? address !== first : !this.#addresses.has(address, rewrite.egress)) return false
    if (!(this.#packet.protocol === PROTOCOL_ICMP ? this.#ports.hasIdentifier(port) : this.#ports.has(port))) return false
    rewrite.source = address
    if (this.#isFree(port)) return true
    rewrite.source = first
    return false
  }

  #portOf(flow: number): number {
    return this.#table.sides[(flow * 2 + 1) * SIDE_WORDS + SIDE_PORTS]! & 0xffff
  }

  /** Identifiers have no parity. */
  #parityOf(port: number): number {
    return this.#parity && this.#packet.protocol !== PROTOCOL_ICMP ? port & 1 : ANY_PARITY
  }

  /** Names the search for a port: an exclusive one is taken towards every remote, a shared one only towards this. */
  #key(what: number): number {
    const { destination, destinationPort, source } = this.#rewrite
    const remote = this.#isShared ? Math.imul(destination, 0x9e3779b1) ^ Math.imul(destinationPort << 16, 0x85ebca6b) : 1
    return remote ^ Math.imul(this.#packet.protocol ^ Math.imul(what, 0x9e3779b1), 0x85ebca6b) ^ source
  }

  #isExhausted(key: number): boolean {
    const slot = slotOf(key)
    return this.#exhaustedAt[slot] === this.#now && this.#exhaustedKeys[slot] === key
  }

  /** Remembers a search that found nothing. Returns what it found. */
  #note(key: number, port: number): number {
    if (port < 0) {
      const slot = slotOf(key)
      this.#exhaustedKeys[slot] = key
      this.#exhaustedAt[slot] = this.#now
    }
    return port
  }
}

const slotOf = (key: number): number => (Math.imul(key, 0x9e3779b1) >>> 24) % EXHAUSTED_SLOTS
