/** The tables of the guard, as operations of one transaction: see guard.ts for what they are for. */
import * as nft from './nft-messages.js'
import type { Element, Expression, Family, NftMessage } from './nft-messages.js'
import type { PortSet } from './port-set.js'

export interface Network {
  /** int32 */
  readonly address: number
  readonly mask: number
}

export interface GuardScope {
  /** tsnat's addresses that the kernel has too, int32. */
  addresses: readonly number[]
  /** Ports that tsnat uses on them: allowed ones, without those that the host's own sockets hold. */
  tcp: PortSet
  udp: PortSet
  /** Addresses that are tsnat's alone, as networks: the ingress guard drops everything to them. */
  whole?: readonly Network[]
  /** Networks of inside hosts that are not translated: the ingress guard drops everything to them, but to this host itself. Never changes. */
  inside?: readonly Network[]
}

const ADDRESSES = 'addresses'
const WHOLE = 'whole'
const PORTS = { tcp: 'tcp', udp: 'udp' } as const
const PROTOCOL = { tcp: 6, udp: 17 } as const
const ETHERTYPE_IPV4 = 0x0800
/** Before defragmentation (-400 is later than ingress), connection tracking and everything of the administrator. */
const PRIORITY = -300
const NF_NETDEV_INGRESS = 0
const NF_INET_LOCAL_OUT = 3

// Offsets in the IPv4 header (RFC 791) and the transport headers (RFC 9293, 768, 792).
const IPV4_SOURCE = 12
const IPV4_DESTINATION = 16
const DESTINATION_PORT = 2
const SOURCE_PORT = 0
const TCP_FLAGS = 13
const TCP_RST = 0x04
/** An ICMP error quotes the IPv4 header of what caused it after 8 bytes of its own. */
const QUOTE = 8
const QUOTE_PORTS = QUOTE + 20
const IPV4_WITHOUT_OPTIONS = 0x45
const PORT_UNREACHABLE = 0x0303

const { network, transport } = nft.PayloadBase

const addressElements = (addresses: readonly number[]): Element[] =>
  [...new Set(addresses)].map((address) => ({ key: nft.uint32(address) }))

/** Each is its first address, and the first beyond it marked as an end. They must not overlap: of two, the wider stays. */
const networkElements = (networks: readonly Network[]): Element[] => {
  const ranges = networks
    .map(({ address, mask }) => ({ first: (address & mask) >>> 0, last: ((address & mask) | ~mask) >>> 0 }))
    .sort((a, b) => a.first - b.first || b.last - a.last)
  const apart: typeof ranges = []
  for (const range of ranges) if (range.first > (apart.at(-1)?.last ?? -1)) apart.push(range)
  return apart.flatMap(({ first, last }) => [
    { key: nft.uint32(first | 0) },
    ...(last === 0xffff_ffff ? [] : [{ key: nft.uint32((last + 1) | 0), end: true }]),
  ])
}

/** A range is its first port, and the first port beyond it marked as an end; up to 65535 there is no end. */
const portElements = (ports: PortSet): Element[] => ports.flatMap(({ first, last }) => [
  { key: nft.uint16(first) },
  ...(last === 65535 ? [] : [{ key: nft.uint16(last + 1), end: true }]),
])

/** Elements a message; an attribute has room for 64 KiB, an element takes up to 24 bytes. */
const CHUNK = 2048
const chunks = (elements: readonly Element[]): (readonly Element[])[] =>
  Array.from({ length: Math.ceil(elements.length / CHUNK) }, (_, i) => elements.slice(i * CHUNK, (i + 1) * CHUNK))

/** Puts a scope into the empty sets of a table. */
export const fillSets = (family: Family, table: string, { addresses, tcp, udp, whole = [] }: GuardScope): NftMessage[] =>
  ([[ADDRESSES, addressElements(addresses)], [WHOLE, networkElements(whole)], [PORTS.tcp, portElements(tcp)], [PORTS.udp, portElements(udp)]] as const)
    .flatMap(([set, elements]) => chunks(elements).map((part) => nft.addElements(family, table, set, part)))

const newTable = (family: Family, table: string, chain: string, hook: nft.Hook, scope: GuardScope): NftMessage[] => [
  nft.newOwnedTable(family, table),
  nft.newSet(family, table, { name: ADDRESSES, id: 1, key: nft.KeyType.address, interval: false }),
  nft.newSet(family, table, { name: PORTS.tcp, id: 2, key: nft.KeyType.port, interval: true }),
  nft.newSet(family, table, { name: PORTS.udp, id: 3, key: nft.KeyType.port, interval: true }),
  nft.newSet(family, table, { name: WHOLE, id: 4, key: nft.KeyType.address, interval: true }),
  ...fillSets(family, table, scope),
  nft.newBaseChain(family, table, chain, hook),
]

const isProtocol = (protocol: number): Expression[] => [nft.loadMeta(nft.MetaKey.layer4), nft.equals(nft.uint8(protocol))]
const addressIn = (offset: number, set: string): Expression[] => [nft.loadPayload(network, offset, 4), nft.isInSet(set)]
const isOurs = (offset: number): Expression[] => addressIn(offset, ADDRESSES)
const portIn = (offset: number, set: string): Expression[] => [nft.loadPayload(transport, offset, 2), nft.isInSet(set)]

const RTN_LOCAL = 2
/** A number as the kernel holds it. */
const native32 = (value: number): Buffer => Buffer.from(Uint32Array.of(value).buffer)
const isForwardedTo = ({ address, mask }: Network): Expression[] => [
  nft.loadPayload(network, IPV4_DESTINATION, 4), nft.mask(nft.uint32(mask)), nft.equals(nft.uint32(address & mask)),
  nft.loadDestinationType, nft.differs(native32(RTN_LOCAL)),
]

const INGRESS_CHAIN = 'ingress'

/** Drops TCP and UDP to the scope, and all to its whole addresses and inside hosts, on the way from `device` into the kernel. */
export const ingressTable = (table: string, device: string, scope: GuardScope): NftMessage[] => {
  const family = nft.Family.netdev
  const rule = (...expressions: Expression[]): NftMessage => nft.newRule(
    family, table, INGRESS_CHAIN,
    nft.loadMeta(nft.MetaKey.protocol), nft.equals(nft.uint16(ETHERTYPE_IPV4)), ...expressions, nft.drop,
  )
  const portRule = (name: 'tcp' | 'udp'): NftMessage =>
    rule(...isProtocol(PROTOCOL[name]), ...isOurs(IPV4_DESTINATION), ...portIn(DESTINATION_PORT, PORTS[name]))
  const hook = { number: NF_NETDEV_INGRESS, priority: PRIORITY, device }
  return [
    ...newTable(family, table, INGRESS_CHAIN, hook, scope),
    portRule('tcp'), portRule('udp'), rule(...addressIn(IPV4_DESTINATION, WHOLE)),
    ...(scope.inside ?? []).map((each) => rule(...isForwardedTo(each))),
  ]
}

const OUTPUT_CHAIN = 'output'

/** Drops the RST and port-unreachable that the kernel sends on behalf of the scope; packets with `mark` pass. */
export const outputTable = (table: string, mark: number, scope: GuardScope): NftMessage[] => {
  const family = nft.Family.ipv4
  const rule = (...expressions: Expression[]): NftMessage => nft.newRule(family, table, OUTPUT_CHAIN, ...expressions)
  const byteAt = (offset: number, value: number): Expression[] =>
    [nft.loadPayload(transport, offset, 1), nft.equals(nft.uint8(value))]
  return [
    ...newTable(family, table, OUTPUT_CHAIN, { number: NF_INET_LOCAL_OUT, priority: PRIORITY }, scope),
    rule(nft.loadMeta(nft.MetaKey.mark), nft.equals(native32(mark)), nft.accept),
    rule(
      ...isProtocol(PROTOCOL.tcp), ...isOurs(IPV4_SOURCE), ...portIn(SOURCE_PORT, PORTS.tcp),
      nft.loadPayload(transport, TCP_FLAGS, 1), nft.mask(nft.uint8(TCP_RST)), nft.differs(nft.uint8(0)), nft.drop,
    ),
    rule(
      ...isProtocol(1), nft.loadPayload(transport, 0, 2), nft.equals(nft.uint16(PORT_UNREACHABLE)),
      ...byteAt(QUOTE, IPV4_WITHOUT_OPTIONS), ...byteAt(QUOTE + 9, PROTOCOL.udp),
      nft.loadPayload(transport, QUOTE + IPV4_DESTINATION, 4), nft.isInSet(ADDRESSES),
      ...portIn(QUOTE_PORTS + DESTINATION_PORT, PORTS.udp), nft.drop,
    ),
  ]
}

/** Empties all sets of a table. */
export const flushSets = (family: Family, table: string): NftMessage[] =>
  [ADDRESSES, WHOLE, PORTS.tcp, PORTS.udp].map((set) => nft.flushSet(family, table, set))
