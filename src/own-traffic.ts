/**
 * Packets that the gateway's own sockets send.
 *
 *     of a flow ─► OUTPUT ─► POSTROUTING ─► translate ─────────────────────────────────────────────────────────────┬─► next hop ─► push
 *     of none ─► look at the routes ─► source chosen ─► OUTPUT raw, mangle ─► mark or TOS changed? look again, choose again    │
 *       ─► OUTPUT nat ─► destination changed? look again, choose again ─► OUTPUT filter ─► POSTROUTING                          │
 *       ─► has somebody else both ends? ─► socket told ─► NAT asked for? open a flow, translate ───────────────────────────────┘
 *
 * The source is the socket's own matter only when its program has bound it to an address. Otherwise it is that of the way that the packet
 * takes in the end: of the second look, where there was one. The socket is told (`path`), before any answer can come, and has that
 * address from then on; the checksums are changed by what the address changed (RFC 1624). A connection may be moved as long as it is not
 * open: with each of its SYNs. No flow is opened for that, and none is needed; only what a rule of table nat translates has one.
 *
 * Where another socket has the same two ends already, the packet is not sent: the socket chooses another port (`taken`).
 */
import { type Attachment, numberOfZone, ZONE_LAN } from './attachment.js'
import type { Clock } from './clock.js'
import { Drop } from './drop.js'
import type { Hooks } from './hooks/hooks.js'
import type { LocalDelivery, SocketOwner } from './local-delivery.js'
import type { OutsidePorts } from './outside-ports.js'
import type { OwnEgress } from './own-egress.js'
import { errnoOf } from './own-errors.js'
import type { OwnFlows } from './own-flows.js'
import { STATE } from './policy/model.js'
import type { RecentPeers } from './recent-peers.js'
import { RouteType } from './route/types.js'
import type { Routing } from './routing.js'
import type { Slab } from './stack/batch.js'
import { changeSource } from './stack/change-source.js'
import { hasPorts, LATER_FRAGMENT, Packet, parse } from './stack/parse.js'
import { type Arrival, NO_SOCKET } from './stack/sockets/network.js'
import { SOCKET_FLAG, type SocketTable } from './stack/sockets/socket-table.js'
import * as icmp4 from './stack/wire/icmp4.js'
import * as ipv4 from './stack/wire/ipv4.js'
import * as tcp from './stack/wire/tcp.js'
import { STAT_DROPS } from './stats.js'
import { ToldPaths } from './told-paths.js'

export interface OwnTrafficParts {
  readonly slab: Slab
  readonly clock: Clock
  readonly hooks: Hooks
  readonly routing: Routing
  readonly sockets: SocketTable
  readonly delivery: LocalDelivery & SocketOwner
  readonly outsidePorts: OutsidePorts
  readonly peers: RecentPeers
  readonly flows: OwnFlows
  readonly egress: OwnEgress
  /** stats.ts */
  readonly stats: Float64Array
}

/** In place of the port that a packet was sent to: it has come there. */
const NO_PORT = -1
/** Number of the interface that packets of this host to itself come by. */
const LOOPBACK = 1
/** 127.0.0.0/8 is here, whatever routes say. */
const LOOPBACK_NET = 127
/** Where REDIRECT of OUTPUT leads. */
const LOOPBACK_ADDRESS = 0x7f000001
/** Bytes of a packet that does not leave the host. */
const LOOPBACK_MTU = 65535

/** A bare SYN: the connection may still be moved. */
const isFirst = (flags: number): boolean => (flags & (tcp.SYN | tcp.ACK | tcp.RST)) === tcp.SYN

export class OwnTraffic {
  readonly #slab: Slab
  readonly #clock: Clock
  readonly #hooks: Hooks
  readonly #routing: Routing
  readonly #sockets: SocketTable
  readonly #delivery: LocalDelivery & SocketOwner
  readonly #outsidePorts: OutsidePorts
  readonly #peers: RecentPeers
  readonly #flows: OwnFlows
  readonly #egress: OwnEgress
  readonly #stats: Float64Array
  readonly #told: ToldPaths
  readonly #packet = new Packet()
  readonly #arrival: Arrival = { socket: NO_SOCKET, originalAddress: 0, originalPort: NO_PORT, interface: LOOPBACK, mark: 0 }
  /** Bytes that the packet in hand may have, of a flow. */
  #mtu = 0
  /** The way of the packet in hand; null: it stays here. */
  #to: Attachment | null = null

  constructor(parts: OwnTrafficParts) {
    this.#slab = parts.slab
    this.#clock = parts.clock
    this.#hooks = parts.hooks
    this.#routing = parts.routing
    this.#sockets = parts.sockets
    this.#delivery = parts.delivery
    this.#outsidePorts = parts.outsidePorts
    this.#peers = parts.peers
    this.#flows = parts.flows
    this.#egress = parts.egress
    this.#stats = parts.stats
    this.#told = new ToldPaths(parts.sockets.capacity)
  }

  /** Sends a packet of a socket on its way. @param socket its row, or NO_SOCKET */
  readonly send = (at: number, length: number, socket: number): void => {
    const packet = this.#packet
    let drop = parse(this.#slab.view, at, length, packet)
    if (drop === 0) drop = this.#send(packet, socket)
    if (drop === 0) return
    this.#stats[STAT_DROPS + drop]!++
    this.#refuse(packet, socket, drop)
  }

  #refuse(packet: Packet, socket: number, drop: number): void {
    if (socket === NO_SOCKET) return
    // What a filter drops, connections just miss, as if it were lost on the way.
    if (drop === Drop['rule'] && packet.protocol === ipv4.PROTOCOL_TCP) return
    const errno = errnoOf(drop, this.#hooks.own.rejection)
    if (errno !== 0) this.#delivery.refused(socket, errno)
  }

  #send(packet: Packet, socket: number): number {
    const side = packet.source === 0 || packet.fragment === LATER_FRAGMENT ? -1 : this.#flows.find(packet)
    if (side >= 0) return this.#answer(packet, side, socket)
    const sockets = this.#sockets
    const flags = socket === NO_SOCKET ? 0 : sockets.flagsOf(socket)
    const isMovable = socket !== NO_SOCKET && (flags & SOCKET_FLAG.boundAddress) === 0 && (packet.protocol !== ipv4.PROTOCOL_TCP || isFirst(packet.tcpFlags))
    const mark = socket === NO_SOCKET ? 0 : sockets.markOf(socket)
    const device = socket === NO_SOCKET ? 0 : sockets.interfaceOf(socket)
    const refused = this.#route(packet, isMovable ? 0 : packet.source, packet.destination, packet.ports & 0xffff, mark, device)
    if (refused !== 0) return refused
    if (isMovable) {
      const isOpen = packet.source === 0
      this.#setSource(packet, this.#source(packet.destination))
      // An answer of a socket that is bound to no address: only now its flow can be found.
      const found = isOpen && packet.fragment !== LATER_FRAGMENT ? this.#findAnswered(packet) : -1
      if (found >= 0) return this.#answer(packet, found, socket)
    }
    if (packet.source === 0) return Drop['no-address']
    if (!this.#hooks.isIdle) {
      const stopped = this.#meetRules(packet, mark, device, isMovable)
      if (stopped !== 0) return stopped
    }
    if (isMovable && this.#isTaken(packet, socket)) {
      this.#delivery.taken(socket, packet.source)
      return 0
    }
    this.#tell(socket, packet.source)
    if (!this.#hooks.isIdle && this.#flows.isAsked(packet)) {
      const opened = this.#flows.open(packet, this.#to)
      return opened < 0 ? -opened : this.#leaveTranslated(packet, opened, socket, this.#to === null ? 0 : this.#routing.link, this.#routing.mtu)
    }
    return this.#leave(packet, socket)
  }

  /** The side that an answer belongs to whose source was chosen just now, or -1. What came to this host by its loopback goes back from there. */
  #findAnswered(packet: Packet): number {
    const found = this.#flows.find(packet)
    if (found >= 0 || this.#to !== null) return found
    const { source } = packet
    this.#setSource(packet, LOOPBACK_ADDRESS)
    const looped = this.#flows.find(packet)
    if (looped < 0) this.#setSource(packet, source)
    return looped
  }

  /** OUTPUT and POSTROUTING. The way is looked up again when rules have changed what it depends on. Returns 0 or a drop code. */
  #meetRules(packet: Packet, mark: number, device: number, isMovable: boolean): number {
    const hooks = this.#hooks
    const { view } = this.#slab
    const tos = ipv4.tos(view, packet.at)
    hooks.own.meet(packet, mark, this.#stateOf(packet))
    const stopped = hooks.own.output(packet, this.#to)
    if (stopped !== 0) return stopped
    if (hooks.mark !== mark || ipv4.tos(view, packet.at) !== tos) {
      const refused = this.#routeAgain(packet, packet.destination, packet.ports & 0xffff, device, isMovable)
      if (refused !== 0) return refused
    }
    const dropped = hooks.own.outputNat(packet, this.#to)
    if (dropped !== 0) return dropped
    if (hooks.hasDestination) {
      const { address, port } = hooks.destination
      const refused = this.#routeAgain(packet, address, port, device, isMovable)
      if (refused !== 0) return refused
      hooks.redirected(address, port)
    }
    return hooks.own.outputLeave(packet, this.#to)
  }

  #routeAgain(packet: Packet, destination: number, port: number, device: number, isMovable: boolean): number {
    const refused = this.#route(packet, packet.source, destination, port, this.#hooks.mark, device)
    if (refused === 0 && isMovable && this.#to !== null) this.#choose(packet, destination)
    return refused
  }

  /** A packet of a flow: an answer of a socket to which NAT has led it, or what NAT leads elsewhere. */
  #answer(packet: Packet, side: number, socket: number): number {
    const hooks = this.#hooks
    const to = this.#flows.egressOf(side)
    this.#to = to
    if (!hooks.isIdle) {
      hooks.meetKnown(packet, side)
      const stopped = hooks.own.output(packet, to)
      if (stopped !== 0) return stopped
      const held = hooks.own.outputLeave(packet, to)
      if (held !== 0) return held
    }
    return to === null ? this.#leaveTranslated(packet, side, socket, 0, LOOPBACK_MTU) : this.#leaveTranslated(packet, side, socket, this.#linkOf(packet, side, to, socket), this.#mtu)
  }

  /** The neighbour that a packet of a flow goes to, -1 for none. What the socket itself has begun is routed, answers go back where their flow came from. */
  #linkOf(packet: Packet, side: number, to: Attachment, socket: number): number {
    this.#mtu = to.mtu
    const { address, port } = this.#flows.targetOf(side)
    if ((side & 1) !== 0) return to.linkTo(address)
    const mark = this.#hooks.isIdle ? (socket === NO_SOCKET ? 0 : this.#sockets.markOf(socket)) : this.#hooks.mark
    const refused = this.#routing.findOwn(packet, packet.source, address, port, mark, numberOfZone(to.zone))
    if (refused !== 0) return -1
    this.#mtu = this.#routing.mtu
    return this.#routing.link
  }

  #leaveTranslated(packet: Packet, side: number, socket: number, link: number, mtu: number): number {
    const { source, destination, ports } = packet
    const to = this.#to
    const stopped = this.#flows.pass(packet, side)
    if (stopped !== 0) return stopped
    if (to === null) return this.#flows.isRedirected(side) ? this.#loopBack(packet, destination, ports & 0xffff) : this.#loopBack(packet)
    this.#tell(socket, source, mtu)
    return this.#egress.push(packet, to, link, mtu, socket)
  }

  /** Looks at the routes. Returns 0 or a drop code. */
  #route(packet: Packet, source: number, destination: number, port: number, mark: number, device: number): number {
    const routing = this.#routing
    if (destination >>> 24 === LOOPBACK_NET) {
      this.#to = null
      routing.result.source = 0
      return 0
    }
    const drop = routing.findOwn(packet, source, destination, port, mark, device)
    this.#to = drop === 0 ? routing.to : null
    return drop === Drop['to-gateway'] && routing.result.type === RouteType.local ? 0 : drop
  }

  /** The source that the way has which was looked up last; 0 when it has none. */
  #source(destination: number): number {
    const { result, nextHop } = this.#routing
    if (result.source !== 0) return result.source
    return this.#to === null ? destination : this.#to.sourceFor(nextHop)
  }

  #setSource(packet: Packet, source: number): void {
    packet.source = source
    changeSource(this.#slab.view, packet.at, source)
  }

  /** The packet takes another way than it seemed: it gets the source of that one. */
  #choose(packet: Packet, destination: number): void {
    const source = this.#source(destination)
    if (source === packet.source || source === 0) return
    this.#setSource(packet, source)
    this.#hooks.own.sourceChosen(source)
    // Answers come to this one.
    if (packet.protocol !== ipv4.PROTOCOL_TCP && packet.fragment !== LATER_FRAGMENT) this.#peers.sent(source, packet.destination, packet.ports, packet.protocol, this.#clock.second)
  }

  /** What rules see in it: no flow says so, but a segment itself, and who has sent to whom. */
  #stateOf({ protocol, source, destination, ports, tcpFlags, icmpType }: Packet): number {
    if (protocol === ipv4.PROTOCOL_TCP) return isFirst(tcpFlags) ? STATE.NEW : STATE.ESTABLISHED
    if (icmp4.isError(icmpType)) return STATE.RELATED
    return this.#peers.sent(source, destination, ports, protocol, this.#clock.second) ? STATE.ESTABLISHED : STATE.NEW
  }

  /** Whether others have the two ends that the socket would have: another socket, or a flow. */
  #isTaken(packet: Packet, socket: number): boolean {
    const { protocol, source, destination, ports } = packet
    if (!hasPorts(protocol)) return false
    if (this.#to !== null && this.#to.zone !== ZONE_LAN && this.#outsidePorts.isFlows(packet, this.#to.zone)) return true
    if (protocol !== ipv4.PROTOCOL_TCP && (this.#sockets.flagsOf(socket) & SOCKET_FLAG.connected) === 0) return false
    const found = this.#sockets.findConnected(protocol, destination, ports & 0xffff, source, ports >>> 16, 0)
    return found >= 0 && found !== socket
  }

  #leave(packet: Packet, socket: number): number {
    const to = this.#to
    return to === null ? this.#loopBack(packet) : this.#egress.push(packet, to, this.#routing.link, this.#routing.mtu, socket)
  }

  /** Hands a packet to the socket here that it is for. @param address, @param port where it was sent to, if NAT has changed that */
  #loopBack(packet: Packet, address = 0, port = NO_PORT): number {
    if (!this.#hooks.isIdle) {
      const stopped = this.#hooks.own.loop(packet)
      // What does not arrive has been sent all the same: its sender hears of it only if a rule wants to tell.
      if (stopped === Drop['rule']) this.#stats[STAT_DROPS + stopped]!++
      if (stopped !== 0) return stopped === Drop['rule'] ? 0 : stopped
      this.#noteLooped(packet)
    }
    const arrival = this.#arrival
    arrival.mark = this.#hooks.mark
    arrival.originalAddress = address
    arrival.originalPort = port
    return this.#delivery.deliver(packet, null, arrival)
  }

  /** What answers a packet that does not leave is to be known as that. */
  #noteLooped({ protocol, source, destination, ports, fragment }: Packet): void {
    if (protocol === ipv4.PROTOCOL_TCP || fragment === LATER_FRAGMENT) return
    this.#peers.received(destination, source, (ports << 16) | (ports >>> 16), protocol, this.#clock.second)
  }

  /** Tells the socket which way its packets go, if that is news. */
  #tell(socket: number, source: number, mtu = this.#to === null ? LOOPBACK_MTU : this.#routing.mtu): void {
    if (socket !== NO_SOCKET && this.#told.isNews(socket, this.#sockets.generationOf(socket), source, mtu)) this.#delivery.path(socket, source, mtu)
  }
}
