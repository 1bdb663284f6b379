/** The last step of a packet that a socket of the gateway's own sends: MSS, MTU, identification, next hop. */
import { type Attachment, ZONE_SELF } from './attachment.js'
import type { Clock } from './clock.js'
import { Drop } from './drop.js'
import type { SocketOwner } from './local-delivery.js'
import { setIdentification } from './nat/identification.js'
import { FAILED } from './route/neighbours.js'
import type { Slab } from './stack/batch.js'
import { clampMss, MSS_OVERHEAD } from './stack/mss.js'
import { type Packet, WHOLE } from './stack/parse.js'
import { wireLength } from './stack/segment.js'
import { NO_SOCKET } from './stack/sockets/network.js'
import * as ipv4 from './stack/wire/ipv4.js'
import * as tcp from './stack/wire/tcp.js'

/** What who waits hears when nobody answers for the next hop. */
const EHOSTUNREACH = 113
/** The owner of packets that wait for their next hop, and are the gateway's own. */
export const HELD_OWN = ~ZONE_SELF

export class OwnEgress {
  readonly #slab: Slab
  readonly #clock: Clock
  readonly #sockets: SocketOwner
  /** Of the last packet that needed one of its own. */
  #identification = 0

  constructor(slab: Slab, clock: Clock, sockets: SocketOwner) {
    this.#slab = slab
    this.#clock = clock
    this.#sockets = sockets
  }

  /** Sends a packet to a neighbour, or keeps it until that is known. Returns 0 or a drop code. @param link -1: nobody is there; @param socket its row, or NO_SOCKET */
  push(packet: Packet, to: Attachment, link: number, mtu: number, socket: number): number {
    const { view } = this.#slab
    const { at, length } = packet
    if ((packet.tcpFlags & tcp.SYN) !== 0) clampMss(view, packet, mtu - MSS_OVERHEAD)
    const isTooLong = length > mtu && wireLength(view, at, length) > mtu
    if (isTooLong && ipv4.dontFragment(view, at)) return Drop['too-big']
    if (packet.fragment === WHOLE && !ipv4.isAtomic(view, at)) {
      this.#identification = (this.#identification + 1) & 0xffff
      setIdentification(view, at, this.#identification)
    }
    if (link < 0) return Drop['no-route']
    if (link !== 0 && !to.neighbours!.isReachable(link)) return this.#wait(packet, to, link, socket)
    return isTooLong ? to.egress.pushFragmented(at, length, mtu, link) : to.egress.push(at, length, link)
  }

  /** A packet that waited for its next hop, which is known by now, or will not be. */
  release({ at, length }: Packet, to: Attachment, link: number, socket: number): number {
    if (to.neighbours!.isReachable(link)) return to.egress.pushWithin(at, length, to.mtu, link)
    if (socket !== NO_SOCKET) this.#sockets.refused(socket, EHOSTUNREACH)
    return Drop['next-hop-unresolved']
  }

  #wait({ at, length }: Packet, to: Attachment, link: number, socket: number): number {
    if (to.neighbours!.request(link, this.#clock.now) === FAILED) return Drop['next-hop-unresolved']
    return to.waiting!.add(link, at, length, HELD_OWN, socket, 0) ? 0 : Drop['next-hop-queue-full']
  }
}
