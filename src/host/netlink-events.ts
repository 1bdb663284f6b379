/**
 * Change events of rtnetlink: a socket that only listens.
 *
 * It is a descriptor of the addon, not of package `netlink`: when events come faster than they are read, the kernel drops
 * some and marks the socket with ENOBUFS, and the package answers that with an abort of the process. Here it becomes a call
 * of `onLost`. Events say that something changed and are not relied on for more: who listens reads the state anew.
 */
import { parseMessages, Protocol, rt } from 'netlink'
import type { NetlinkMessage } from 'netlink'
import { native } from '../native.js'
import type { NetworkNamespace } from './namespace.js'
import { NetlinkError } from './netlink-error.js'
import { decodeAddress, decodeLink, decodeNeighbour, decodeRoute } from './rtnetlink-messages.js'
import type { InterfaceAddress, Link, Neighbour, Route } from './rtnetlink-types.js'

/** Multicast groups of linux/rtnetlink.h. */
export const EventGroup = { link: 1, neighbour: 3, address: 5, route: 7, nextHop: 32 } as const
export type EventGroup = (typeof EventGroup)[keyof typeof EventGroup]

export interface EventHandlers {
  link?(link: Link, deleted: boolean): void
  address?(address: InterfaceAddress, deleted: boolean): void
  route?(route: Route, deleted: boolean): void
  neighbour?(neighbour: Neighbour, deleted: boolean): void
  /** A next hop object (`ip nexthop`) changed; routes may have gone with it. */
  nextHop?(): void
  /** Events were lost: whatever is known may be wrong. */
  lost(): void
}

const { MessageType } = rt
/** RTM_NEWNEXTHOP and RTM_DELNEXTHOP, which the package does not know. */
const NEW_NEXT_HOP = 104
const DELETED_NEXT_HOP = 105
/** Bytes of queue asked of the kernel: some thousand events. */
const BUFFER_SIZE = 1 << 20
/** Room for one datagram of the largest size and its alignment. */
const SLAB_SIZE = 1 << 18
const BATCH = 128
const ENOBUFS = 105

export class NetlinkEvents {
  readonly #handlers: EventHandlers
  readonly #fd: number
  readonly #watch: object
  readonly #slab = Buffer.alloc(SLAB_SIZE)
  readonly #at = new Int32Array(BATCH)
  readonly #length = new Int32Array(BATCH)
  #closed = false

  /** Handlers are called on the event loop. @throws NetlinkError */
  constructor(namespace: NetworkNamespace, groups: readonly EventGroup[], handlers: EventHandlers) {
    this.#handlers = handlers
    try {
      this.#fd = namespace.run(() => native().netlinkOpen(Protocol.ROUTE, Int32Array.from(groups), BUFFER_SIZE))
    } catch (cause) {
      throw new NetlinkError('listen for network changes', (cause as { code?: string }).code ?? 'unknown', cause)
    }
    this.#watch = native().watchOpen(this.#fd, () => this.#read())
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    native().watchClose(this.#watch)
    native().close(this.#fd)
  }

  /** Takes what is there, one batch a call of the loop, so that a storm does not hold the loop up. */
  #read(): void {
    if (this.#closed) return
    const count = native().readBatch(this.#fd, true, this.#slab, 0, SLAB_SIZE, 0, this.#at, this.#length, BATCH)
    if (count === -ENOBUFS) this.#handlers.lost()
    for (let i = 0; i < count; i++) {
      const start = this.#at[i]!
      this.#dispatchAll(this.#slab.subarray(start, start + this.#length[i]!))
    }
    // A handler may have closed this.
    if (!this.#closed) native().watchRearm(this.#watch)
  }

  #dispatchAll(datagram: Buffer): void {
    let events: NetlinkMessage[]
    try {
      events = parseMessages(datagram)
    } catch {
      this.#handlers.lost()
      return
    }
    for (const event of events) this.#dispatch(event.type, event.data)
  }

  #dispatch(type: number, data: Buffer): void {
    const { link, address, route, neighbour, nextHop } = this.#handlers
    switch (type) {
      case MessageType.NEWLINK:
      case MessageType.DELLINK: {
        const found = decodeLink(data)
        if (found !== null) link?.(found, type === MessageType.DELLINK)
        break
      }
      case MessageType.NEWADDR:
      case MessageType.DELADDR: {
        const found = decodeAddress(data)
        if (found !== null) address?.(found, type === MessageType.DELADDR)
        break
      }
      case MessageType.NEWROUTE:
      case MessageType.DELROUTE:
        for (const found of decodeRoute(data)) route?.(found, type === MessageType.DELROUTE)
        break
      case MessageType.NEWNEIGH:
      case MessageType.DELNEIGH: {
        const found = decodeNeighbour(data)
        if (found !== null) neighbour?.(found, type === MessageType.DELNEIGH)
        break
      }
      case NEW_NEXT_HOP:
      case DELETED_NEXT_HOP:
        nextHop?.()
        break
    }
  }
}
