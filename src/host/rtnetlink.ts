/**
 * A session of rtnetlink requests, over package `netlink`.
 *
 * One socket, in the namespace in which the session was made. Requests go one after another: the kernel refuses a second
 * dump on a socket while one is running, and the package takes what comes in between the parts of a dump for its end. For
 * the same reason events have a socket of their own, see netlink-events.ts. Refusals become {@link NetlinkError}.
 */
import { createNetlink, Flags, FlagsGet, FlagsNew, parseError, Protocol, rt } from 'netlink'
import type { NetlinkMessage, NetlinkSocket } from 'netlink'
import { ownNamespace } from './namespace.js'
import type { NetworkNamespace } from './namespace.js'
import { errnoName, isErrno, NetlinkError } from './netlink-error.js'
import { decodeNextHopObject, nextHopObjectsRequest } from './route-messages.js'
import type { NextHopObject } from './route-messages.js'
import * as messages from './rtnetlink-messages.js'
import { AF_INET } from './rtnetlink-messages.js'
import type { InterfaceAddress, Link, Neighbour, Route, RouteRequest, Rule } from './rtnetlink-types.js'

const { MessageType } = rt
const MESSAGE_ERROR = 2
/** RTM_GETNEXTHOP, which the package does not know. */
const MESSAGE_GET_NEXT_HOP = 106
/** Bytes; the kernel doubles them and stays below net.core.rmem_max. Answers to one request at a time fit easily. */
const BUFFER_SIZE = 212992
/** A request is answered within the system call that sends it; only a bug can make it wait. */
const TIMEOUT_MILLISECONDS = 10_000
/** Dumps that the kernel calls inconsistent, because something changed meanwhile, are repeated this often. */
const DUMP_TRIES = 8

/** What can be changed on a link; what is absent stays. */
export interface LinkChange {
  up?: boolean
  /** Bytes. */
  mtu?: number
  /** Packets. */
  txQueueLength?: number
}

export class Rtnetlink {
  readonly #socket: NetlinkSocket
  #last: Promise<unknown> = Promise.resolve()
  #closed = false

  /** @throws NetlinkError when the socket cannot be made */
  constructor(namespace: NetworkNamespace = ownNamespace()) {
    try {
      this.#socket = namespace.run(() =>
        createNetlink(Protocol.ROUTE, { recvBufferSize: BUFFER_SIZE, sendBufferSize: BUFFER_SIZE }))
    } catch (cause) {
      throw new NetlinkError('open an rtnetlink socket', (cause as { code?: string }).code ?? 'unknown', cause)
    }
    // Requests learn of failures by their answers; without a listener an error would end the process.
    this.#socket.on('error', () => {})
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#socket.close()
  }

  async links(): Promise<Link[]> {
    const found = await this.#dump('list interfaces', MessageType.GETLINK, messages.encodeLink({}, {}))
    return found.map(messages.decodeLink).filter((link) => link !== null)
  }

  /** Null when there is no interface of that name. */
  async link(name: string): Promise<Link | null> {
    const body = messages.encodeLink({}, { ifname: name })
    const found = await this.#find(`look up interface "${name}"`, MessageType.GETLINK, body, 'ENODEV')
    return found === null ? null : messages.decodeLink(found)
  }

  /** Packets that the interface dropped instead of sending them, since it was made. @throws NetlinkError ENODEV when it is gone */
  async txDropped(ifindex: number): Promise<number> {
    const body = messages.encodeLink({ index: ifindex }, {})
    const [answer] = await this.#exchange(`read the counters of interface ${ifindex}`, MessageType.GETLINK, body, 0)
    return answer === undefined ? 0 : messages.decodeTxDropped(answer.data)
  }

  async setLink(ifindex: number, change: LinkChange): Promise<void> {
    const { up, mtu, txQueueLength } = change
    const data: rt.Link = { index: ifindex, ...(up === undefined ? {} : { flags: up ? { up } : {}, change: { up: true } }) }
    const body = messages.encodeLink(data, {
      ...(mtu === undefined ? {} : { mtu }),
      ...(txQueueLength === undefined ? {} : { txqlen: txQueueLength }),
    })
    await this.#request(`change interface ${ifindex} (${JSON.stringify(change)})`, MessageType.NEWLINK, body)
  }

  /** IPv4 addresses of all interfaces, in the kernel's order. */
  async addresses(): Promise<InterfaceAddress[]> {
    const found = await this.#dump('list addresses', MessageType.GETADDR, rt.formatAddress({ family: AF_INET }))
    return found.map(messages.decodeAddress).filter((address) => address !== null)
  }

  async addAddress(ifindex: number, address: number, prefixLength: number): Promise<void> {
    const body = messages.encodeAddress(ifindex, address, prefixLength)
    await this.#request(`add an address to interface ${ifindex}`, MessageType.NEWADDR, body, FlagsNew.CREATE | FlagsNew.EXCL)
  }

  /** IPv4 routes of all tables; a multipath route appears once for each next hop. */
  async routes(): Promise<Route[]> {
    return (await this.routeMessages()).flatMap(messages.decodeRoute)
  }

  /** IPv4 routes of all tables, in the kernel's order, to be read with `decodeKernelRoute`. */
  routeMessages(): Promise<Buffer[]> {
    return this.#dump('list routes', MessageType.GETROUTE, rt.formatRoute({ family: AF_INET }))
  }

  async nextHopObjects(): Promise<NextHopObject[]> {
    const found = await this.#dump('list next hop objects', MESSAGE_GET_NEXT_HOP, nextHopObjectsRequest())
    return found.map(decodeNextHopObject).filter((object) => object !== null)
  }

  /** @throws NetlinkError EEXIST when there is a route with this destination, metric and table */
  async addRoute(route: RouteRequest): Promise<void> {
    const body = messages.encodeRoute(route, true)
    await this.#request(`add a route to table ${route.table}`, MessageType.NEWROUTE, body, FlagsNew.CREATE | FlagsNew.EXCL)
  }

  /** @throws NetlinkError ESRCH when there is none */
  async deleteRoute(route: RouteRequest): Promise<void> {
    await this.#request(`remove a route from table ${route.table}`, MessageType.DELROUTE, messages.encodeRoute(route, false))
  }

  /** IPv4 policy rules, in order. */
  async rules(): Promise<Rule[]> {
    const found = await this.#dump('list policy rules', MessageType.GETRULE, rt.formatRule({ family: AF_INET }))
    return found.map(messages.decodeRule).filter((rule) => rule !== null)
  }

  /** @throws NetlinkError EEXIST when exactly this rule is there */
  async addRule(rule: Rule): Promise<void> {
    const body = messages.encodeRule(rule)
    await this.#request(`add policy rule ${rule.priority}`, MessageType.NEWRULE, body, FlagsNew.CREATE | FlagsNew.EXCL)
  }

  /** @throws NetlinkError ENOENT when there is none */
  async deleteRule(rule: Rule): Promise<void> {
    await this.#request(`remove policy rule ${rule.priority}`, MessageType.DELRULE, messages.encodeRule(rule))
  }

  /** What the kernel knows of a neighbour now; null when it has no entry. */
  async neighbour(ifindex: number, address: number): Promise<Neighbour | null> {
    const body = messages.encodeNeighbour(ifindex, address, false)
    const found = await this.#find('look up a neighbour', MessageType.GETNEIGH, body, 'ENOENT')
    return found === null ? null : messages.decodeNeighbour(found)
  }

  /**
   * Makes the kernel resolve a neighbour as if it had a packet to send to it: starts ARP for an unknown or failed one, and
   * confirms a stale one. The outcome comes as an event.
   */
  async useNeighbour(ifindex: number, address: number): Promise<void> {
    const body = messages.encodeNeighbour(ifindex, address, true)
    await this.#request('resolve a neighbour', MessageType.NEWNEIGH, body, FlagsNew.CREATE)
  }

  /** Waits its turn, sends, and gives the messages of the answer; an acknowledgement alone gives none. */
  #exchange(operation: string, type: number, body: Buffer, flags: number): Promise<NetlinkMessage[]> {
    const exchange = async (): Promise<NetlinkMessage[]> => {
      if (this.#closed) throw new NetlinkError(operation, 'EBADF')
      let answer: NetlinkMessage[]
      try {
        [answer] = await this.#socket.request(type, body, { flags, checkError: false, timeout: TIMEOUT_MILLISECONDS })
      } catch (cause) {
        throw new NetlinkError(operation, (cause as { code?: string }).code ?? 'ETIMEDOUT', cause)
      }
      const first = answer[0]
      if (first?.type !== MESSAGE_ERROR) return answer
      const { errno } = parseError(first.data, first.flags)
      if (errno !== 0) throw new NetlinkError(operation, errnoName(-errno))
      return []
    }
    const turn = this.#last.then(exchange, exchange)
    this.#last = turn.catch(() => {})
    return turn
  }

  async #request(operation: string, type: number, body: Buffer, flags = 0): Promise<void> {
    await this.#exchange(operation, type, body, flags)
  }

  /** A request for one object; null when the kernel answers that it is `missing`. */
  async #find(operation: string, type: number, body: Buffer, missing: string): Promise<Buffer | null> {
    try {
      const [answer] = await this.#exchange(operation, type, body, 0)
      return answer?.data ?? null
    } catch (error) {
      if (isErrno(error, missing)) return null
      throw error
    }
  }

  async #dump(operation: string, type: number, body: Buffer): Promise<Buffer[]> {
    for (let tries = 1; ; tries++) {
      const answer = await this.#exchange(operation, type, body, FlagsGet.DUMP)
      const interrupted = answer.some(({ flags }) => (flags & Flags.DUMP_INTR) !== 0)
      if (!interrupted || tries === DUMP_TRIES) return answer.map(({ data }) => data)
    }
  }
}
