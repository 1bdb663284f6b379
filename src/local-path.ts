/**
 * The end of a packet's way at the gateway itself: its sockets.
 *
 *     flow that ends here   PREROUTING ─► INPUT (as often as rules want it) ─► track, translate ─► deliver
 *     TPROXY                PREROUTING gave it to a socket ─► routes lead here? ─► INPUT ─► deliver, as it came
 *     anything else         to an address of the gateway, or routed by a route of type local ─► INPUT ─► deliver
 *
 * What is delivered is whatever there is: fragments are put together by the stack, which also looks up the socket, unless TPROXY has
 * named one. Nobody tracks packets that no NAT has changed. Rules know them as what sockets know them as: those of a connection are
 * ESTABLISHED, others NEW or INVALID, errors about packets of a socket RELATED.
 */
import { type Attachment, numberOfZone } from './attachment.js'
import { Drop } from './drop.js'
import { type Epoch, EPOCH_MASK, UNDECIDED } from './epoch.js'
import type { Hooks } from './hooks/hooks.js'
import type { LocalDelivery } from './local-delivery.js'
import type { LocalFlows } from './local-flows.js'
import { type FlowTable, SIDE_DESTINATION, SIDE_HOP, SIDE_PORTS, SIDE_SOURCE, SIDE_WORDS } from './nat/flow-table.js'
import type { OwnSockets } from './own-sockets.js'
import { ANY_ZONE, type Routing } from './routing.js'
import type { Slab } from './stack/batch.js'
import { hasPorts, type Packet } from './stack/parse.js'
import { type Arrival, NO_SOCKET } from './stack/sockets/network.js'
import type { Tracing } from './trace/tracing.js'

export interface LocalPathParts {
  readonly slab: Slab
  readonly table: FlowTable
  readonly lan: Attachment
  readonly hooks: Hooks
  readonly routing: Routing
  readonly epoch: Epoch
  readonly tracing: Tracing
  readonly localFlows: LocalFlows
  /** Null: there are no sockets. */
  readonly sockets: OwnSockets | null
  readonly delivery: LocalDelivery | null
}

/** Where packets go that rules do not want tracked. Returns 0 or a drop code. */
export type PassUntracked = (packet: Packet, from: Attachment) => number

export class LocalPath {
  readonly #slab: Slab
  readonly #table: FlowTable
  readonly #lan: Attachment
  readonly #hooks: Hooks
  readonly #routing: Routing
  readonly #epoch: Epoch
  readonly #tracing: Tracing
  readonly #flows: LocalFlows
  readonly sockets: OwnSockets | null
  readonly #delivery: LocalDelivery | null
  readonly #passUntracked: PassUntracked
  readonly #arrival: Arrival = { socket: NO_SOCKET, originalAddress: 0, originalPort: -1, interface: 0, mark: 0 }
  /** Packets that have been delivered: who looks before and after knows about his. */
  delivered = 0

  constructor(parts: LocalPathParts, passUntracked: PassUntracked) {
    this.#slab = parts.slab
    this.#table = parts.table
    this.#lan = parts.lan
    this.#hooks = parts.hooks
    this.#routing = parts.routing
    this.#epoch = parts.epoch
    this.#tracing = parts.tracing
    this.#flows = parts.localFlows
    this.sockets = parts.sockets
    this.#delivery = parts.delivery
    this.#passUntracked = passUntracked
  }

  /** Whether there is anybody to deliver to. */
  get isOpen(): boolean {
    return this.#delivery !== null && this.sockets !== null
  }

  /** Socket of the packet that was delivered last. */
  get lastSocket(): number {
    return this.#arrival.socket
  }

  /** Whether a socket takes what comes to this address and port. */
  hasReceiver(packet: Packet, address: number, port: number, from: Attachment): boolean {
    return this.sockets !== null && this.sockets.find(packet, address, port, numberOfZone(from.zone)) >= 0
  }

  /** Whether routes lead a packet to this host which goes to this address and port. An address of a WAN is no answer by itself. */
  isRoutedHere(packet: Packet, from: Attachment, address: number, port: number): boolean {
    return this.#lan.localAddresses.has(address) || this.#routing.find(packet, from, address, port, this.#hooks.mark, ANY_ZONE) === Drop['to-gateway']
  }

  /** Delivers a packet as it is. Returns 0 or a drop code. @param socket of TPROXY */
  deliver(packet: Packet, from: Attachment, socket: number): number {
    if (!this.#hooks.isIdle && !this.#tracing.isDry) this.sockets!.received(packet)
    return this.#deliver(packet, from, socket, packet.destination, packet.ports & 0xffff, 0, -1, this.#hooks.mark)
  }

  /** Delivers a later fragment of a packet whose first one was delivered. Returns 0 or a drop code. @param socket that got the first */
  deliverRest(packet: Packet, from: Attachment, socket: number): number {
    return this.#deliver(packet, from, socket, packet.destination, 0, 0, -1, 0)
  }

  /** A packet of a flow that ends here. Returns 0 or a drop code. */
  receive(packet: Packet, side: number, from: Attachment): number {
    const isDecided = (this.#table.sides[side * SIDE_WORDS + SIDE_HOP]! & EPOCH_MASK) === this.#epoch.value
    // What is stored is stored for packets without a mark.
    let mark = 0
    if (!isDecided || (packet.tcpFlags & this.#hooks.watchedFlags) !== 0) {
      const stopped = this.#ask(packet, side, from)
      if (stopped < 0) return ~stopped
      mark = this.#hooks.mark
    }
    return this.deliverOf(packet, side, from, NO_SOCKET, mark)
  }

  /** Delivers a packet of a flow that ends here, which has met its rules. Returns 0 or a drop code. @param socket of TPROXY */
  deliverOf(packet: Packet, side: number, from: Attachment, socket: number, mark: number): number {
    if (this.#tracing.isDry) this.#flows.translate(packet, side)
    else {
      const refused = this.#flows.pass(packet, side)
      if (refused !== 0) return refused
    }
    const { sides } = this.#table
    const at = side * SIDE_WORDS
    const to = (side ^ 1) * SIDE_WORDS
    const address = sides[at + SIDE_DESTINATION]!
    const port = sides[at + SIDE_PORTS]! & 0xffff
    // Where the client wanted to go is something to tell only if it is not where he is.
    const own = sides[to + SIDE_SOURCE]!
    const ownPort = sides[to + SIDE_PORTS]! >>> 16
    const isRedirected = (side & 1) === 0 && hasPorts(packet.protocol) && (address !== own || port !== ownPort)
    return this.#deliver(packet, from, socket, own, ownPort, address, isRedirected ? port : -1, mark)
  }

  /** Rules of a side: what comes out is stored if it is the same for its next packets. Returns 0, or ~(drop code): ~0 when the packet went another way. */
  #ask(packet: Packet, side: number, from: Attachment): number {
    const hooks = this.#hooks
    let isStored = true
    if (!hooks.isIdle) {
      hooks.meetKnown(packet, side)
      const stopped = hooks.arrive(packet, from)
      if (stopped !== 0) return ~stopped
      if (hooks.isUntracked) return ~this.#passUntracked(packet, from)
      const held = hooks.local(packet, from, side)
      if (held !== 0) return ~held
      isStored = !this.#tracing.isDry && hooks.mark === 0 && hooks.store(packet, side)
    }
    if (!this.#tracing.isDry) this.#table.sides[side * SIDE_WORDS + SIDE_HOP] = isStored ? this.#epoch.value : UNDECIDED
    return 0
  }

  /** @param address, @param port where it goes by now */
  #deliver(packet: Packet, from: Attachment, socket: number, address: number, port: number, originalAddress: number, originalPort: number, mark: number): number {
    const arrival = this.#arrival
    arrival.socket = socket
    arrival.originalAddress = originalAddress
    arrival.originalPort = originalPort
    arrival.interface = numberOfZone(from.zone)
    arrival.mark = mark
    const { recorder } = this.#tracing
    if (recorder !== null) {
      recorder.rewritten(this.#slab.view, packet.at, packet.length)
      recorder.local(this.sockets!.describe(socket >= 0 ? socket : this.sockets!.find(packet, address, port, arrival.interface)))
    }
    if (this.#tracing.isDry) return 0
    this.delivered++
    return this.#delivery!.deliver(packet, from, arrival)
  }
}
