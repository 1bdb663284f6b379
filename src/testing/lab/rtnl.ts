/**
 * The few rtnetlink requests that a laboratory needs, over package `netlink`. A session belongs to the namespace in
 * which its socket was created.
 */
import { AttrStream, createRtNetlink, FlagsNew, ifla, putU32, rt } from 'netlink'
import type { RtNetlinkSocket, StreamData } from 'netlink'

const AF_INET = 2
/** RFC 2863 3.1.14. */
const OPERSTATE_UP = 6

/** IPv4 address as four bytes. @throws RangeError naming the text */
export const addressBytes = (text: string): Buffer => {
  const parts = text.split('.')
  if (parts.length !== 4 || parts.some((part) => !/^\d{1,3}$/.test(part) || Number(part) > 255)) {
    throw new RangeError(`not an IPv4 address: ${text}`)
  }
  return Buffer.from(parts.map(Number))
}

/** `192.0.2.1/24`, or an address alone, which is a /32. @throws RangeError naming the text */
export const parsePrefix = (text: string): { bytes: Buffer; length: number } => {
  const [address = '', length = '32'] = text.split('/')
  if (!/^\d{1,2}$/.test(length) || Number(length) > 32) throw new RangeError(`not a prefix length of 0-32: ${text}`)
  return { bytes: addressBytes(address), length: Number(length) }
}

export interface LinkPeer {
  name: string
  mac?: string | undefined
  mtu?: number | undefined
}

/** A route of the main table. `to` is `default` or a prefix; at least one of `via` and `device` is needed. */
export interface RouteSpec {
  to: string
  via?: string | undefined
  device?: number | undefined
  /** Route MTU, in bytes. */
  mtu?: number | undefined
  metric?: number | undefined
}

const macBytes = (mac: string): Buffer => Buffer.from(mac.replaceAll(':', ''), 'hex')

const linkAttributes = (peer: LinkPeer): ifla.LinkAttrs => ({
  ifname: peer.name,
  ...(peer.mtu === undefined ? {} : { mtu: peer.mtu }),
  ...(peer.mac === undefined ? {} : { address: macBytes(peer.mac) }),
})

const encode = (...parts: StreamData[]): Buffer => {
  const stream = new AttrStream()
  for (const part of parts) stream.emit(part)
  return Buffer.concat(stream.bufs)
}

export class RtSession {
  readonly #socket: RtNetlinkSocket

  /** Opens the session in the calling thread's network namespace. */
  constructor() {
    this.#socket = createRtNetlink()
  }

  close(): void {
    this.#socket.socket.close()
  }

  /** A veth pair: `here` in the session's namespace, `there` in the one that the descriptor names. */
  async addVeth(here: LinkPeer, there: LinkPeer, namespaceFd: number): Promise<void> {
    const peer = encode(rt.formatLink({}), ifla.formatLinkAttrs({ ...linkAttributes(there), netNsFd: namespaceFd }))
    const linkinfo = encode(ifla.formatInfo({ kind: 'veth', data: encode(ifla.formatVethInfo({ peer })) }))
    await this.#socket.newLink({}, { ...linkAttributes(here), linkinfo }, { flags: FlagsNew.CREATE | FlagsNew.EXCL })
  }

  async setUp(index: number, up = true): Promise<void> {
    await this.#socket.newLink({ index, flags: up ? { up: true } : {}, change: { up: true } })
  }

  /** Whether packets can be sent by it: it is up and has a carrier, and the kernel has taken notice of both. */
  async isOperational(index: number): Promise<boolean> {
    const [link] = await this.#socket.getLink({ index })
    return link?.attrs.operstate === OPERSTATE_UP
  }

  async setMtu(index: number, mtu: number): Promise<void> {
    await this.#socket.newLink({ index }, { mtu })
  }

  async addAddress(index: number, prefix: string): Promise<void> {
    const { data, attrs } = addressMessage(index, prefix)
    await this.#socket.newAddress(data, attrs, { flags: FlagsNew.CREATE | FlagsNew.EXCL })
  }

  async deleteAddress(index: number, prefix: string): Promise<void> {
    const { data, attrs } = addressMessage(index, prefix)
    await this.#socket.delAddress(data, attrs)
  }

  /** A permanent entry of the neighbour table, as for a peer that answers no ARP. */
  async addNeighbour(index: number, address: string, mac: string): Promise<void> {
    const attrs: rt.NeighborAttrs = { dst: addressBytes(address), lladdr: macBytes(mac) }
    const data: rt.Neighbor = { family: AF_INET, ifindex: index, state: { permanent: true } }
    await this.#socket.newNeighbor(data, attrs, { flags: FlagsNew.CREATE | FlagsNew.REPLACE })
  }

  /** Adds a route, or replaces the one to the same destination with the same metric. */
  async replaceRoute(spec: RouteSpec): Promise<void> {
    const { data, attrs } = routeMessage(spec)
    await this.#socket.newRoute(data, attrs, { flags: FlagsNew.CREATE | FlagsNew.REPLACE })
  }

  async deleteRoute(spec: RouteSpec): Promise<void> {
    const { data, attrs } = routeMessage(spec)
    await this.#socket.delRoute(data, attrs)
  }
}

const addressMessage = (index: number, prefix: string): { data: rt.Address; attrs: rt.AddressAttrs } => {
  const { bytes, length } = parsePrefix(prefix)
  const attrs: rt.AddressAttrs = { local: bytes, address: bytes }
  if (length < 31) {
    attrs.broadcast = Buffer.alloc(4)
    attrs.broadcast.writeUInt32BE((bytes.readUInt32BE(0) | (0xffffffff >>> length)) >>> 0)
  }
  return { data: { family: AF_INET, prefixlen: length, index }, attrs }
}

const routeMessage = ({ to, via, device, mtu, metric }: RouteSpec): { data: rt.Route; attrs: rt.RouteAttrs } => {
  const { bytes, length } = parsePrefix(to === 'default' ? '0.0.0.0/0' : to)
  const attrs: rt.RouteAttrs = {}
  if (length > 0) attrs.dst = bytes
  if (via !== undefined) attrs.gateway = addressBytes(via)
  if (device !== undefined) attrs.oif = device
  if (metric !== undefined) attrs.priority = metric
  if (mtu !== undefined) attrs.metrics = { mtu: putU32(mtu) }
  const scope = via === undefined ? 'LINK' : 'UNIVERSE'
  return { data: { family: AF_INET, dstLen: length, table: 254, protocol: 'BOOT', scope, type: 'UNICAST' }, attrs }
}
