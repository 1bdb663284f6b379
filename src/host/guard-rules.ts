/** The tables of the guard, as operations of one transaction: see guard.ts for what they are for. */
import * as nft from './nft-messages.js'
import type { Element, Expression, Family, NftMessage } from './nft-messages.js'
import type { PortSet } from './port-set.js'
import { PORT_PROTOCOLS, type PortProtocol } from './ports.js'

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
  udplite?: PortSet
  sctp?: PortSet
  /** Forwards without ports: their protocol, of ICMP the echo requests, is kept from the kernel, where it comes from these senders. */
  forwards?: readonly { readonly protocol: number; readonly from: number; readonly fromMask: number }[]
  /** Addresses that are tsnat's alone, as networks: the ingress guard drops everything to them. */
  whole?: readonly Network[]
  /** Networks of inside hosts that are not translated: the ingress guard drops everything to them, but to this host itself. */
  inside?: readonly Network[]
  /**
   * The TUN with its address (int32), and the WAN, where both are in the namespace of the guard: nothing that is the TUN's leaves by
   * the WAN. Never changes.
   */
  tun?: { readonly name: string; readonly address: number; readonly wan: string }
}

const ADDRESSES = 'addresses'
const WHOLE = 'whole'
const INSIDE = 'inside'
type SetName = typeof ADDRESSES | typeof WHOLE | typeof INSIDE | PortProtocol
/** Sets of a table that guards ports. */
export const ALL_SETS: readonly SetName[] = [ADDRESSES, WHOLE, INSIDE, ...PORT_PROTOCOLS]
/** Sets of {@link silenceTable}. */
export const SILENCE_SETS: readonly SetName[] = [ADDRESSES]
const ICMP = 1
const GRE = 47
const PROTOCOL: Readonly<Record<PortProtocol, number>> = { tcp: 6, udp: 17, udplite: 136, sctp: 132 }
const ETHERTYPE_IPV4 = 0x0800
/** Before defragmentation (-400 is later than ingress), connection tracking and everything of the administrator. */
const PRIORITY = -300
const NF_NETDEV_INGRESS = 0
const NF_INET_FORWARD = 2
const NF_INET_LOCAL_OUT = 3

// Offsets in the IPv4 header (RFC 791) and the transport headers (RFC 9293, 768, 792; 3828 and 9260 have ports where TCP has them).
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
const REDIRECT = 5
const ECHO_REQUEST = 8
/** Type and code. */
const PROTOCOL_UNREACHABLE = 0x0302
const PORT_UNREACHABLE = 0x0303

const { network, transport } = nft.PayloadBase

const addressElements = (addresses: readonly number[]): Element[] =>
  [...new Set(addresses)].map((address) => ({ key: nft.uint32(address) }))

/** Ranges: the first address of each, and the first beyond it marked as an end. They must neither overlap nor touch. */
const networkElements = (networks: readonly Network[]): Element[] => {
  const ranges = networks
    .map(({ address, mask }) => ({ first: (address & mask) >>> 0, last: ((address & mask) | ~mask) >>> 0 }))
    .sort((a, b) => a.first - b.first)
  const apart: typeof ranges = []
  for (const range of ranges) {
    const before = apart.at(-1)
    if (before !== undefined && range.first <= before.last + 1) before.last = Math.max(before.last, range.last)
    else apart.push(range)
  }
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

const elementsOf = (scope: GuardScope, set: SetName): Element[] => {
  if (set === ADDRESSES) return addressElements(scope.addresses)
  return set === WHOLE || set === INSIDE ? networkElements(scope[set] ?? []) : portElements(scope[set] ?? [])
}

/** Puts a scope into the empty sets of a table. */
export const fillSets = (family: Family, table: string, sets: readonly SetName[], scope: GuardScope): NftMessage[] =>
  sets.flatMap((set) => chunks(elementsOf(scope, set)).map((part) => nft.addElements(family, table, set, part)))

const newTable = (family: Family, table: string, sets: readonly SetName[], chain: string, hook: nft.Hook, scope: GuardScope): NftMessage[] => [
  nft.newOwnedTable(family, table),
  ...sets.map((name, index) => {
    const key = name === ADDRESSES || name === WHOLE || name === INSIDE ? nft.KeyType.address : nft.KeyType.port
    return nft.newSet(family, table, { name, id: 1 + index, key, interval: name !== ADDRESSES })
  }),
  ...fillSets(family, table, sets, scope),
  nft.newBaseChain(family, table, chain, hook),
]

const isProtocol = (protocol: number): Expression[] => [nft.loadMeta(nft.MetaKey.layer4), nft.equals(nft.uint8(protocol))]
const addressIn = (offset: number, set: string): Expression[] => [nft.loadPayload(network, offset, 4), nft.isInSet(set)]
const isOurs = (offset: number): Expression[] => addressIn(offset, ADDRESSES)
const portIn = (offset: number, set: string): Expression[] => [nft.loadPayload(transport, offset, 2), nft.isInSet(set)]

const INGRESS_CHAIN = 'ingress'

const byteIs = (offset: number, value: number): Expression[] => [nft.loadPayload(transport, offset, 1), nft.equals(nft.uint8(value))]
const networkIs = (offset: number, address: number, mask: number): Expression[] =>
  [nft.loadPayload(network, offset, 4), nft.mask(nft.uint32(mask)), nft.equals(nft.uint32(address & mask))]

const RTN_LOCAL = 2
/** A number as the kernel holds it. */
const native32 = (value: number): Buffer => Buffer.from(Uint32Array.of(value).buffer)

const ingressRule = (table: string, ...expressions: Expression[]): NftMessage => nft.newRule(
  nft.Family.netdev, table, INGRESS_CHAIN,
  nft.loadMeta(nft.MetaKey.protocol), nft.equals(nft.uint16(ETHERTYPE_IPV4)), ...expressions, nft.drop,
)

/** Drops what the kernel would forward to inside hosts. Only where there are any: not every kernel has what it takes. */
export const insideRule = (table: string): NftMessage =>
  ingressRule(table, ...addressIn(IPV4_DESTINATION, INSIDE), nft.loadDestinationType, nft.differs(native32(RTN_LOCAL)))

export const guardsInside = ({ inside = [] }: GuardScope): boolean => inside.length > 0

/** Drops what is for ports of the scope, forwarded or to its whole addresses and inside hosts, on the way from `device` into the kernel. */
export const ingressTable = (table: string, device: string, scope: GuardScope): NftMessage[] => {
  const family = nft.Family.netdev
  const rule = (...expressions: Expression[]): NftMessage => ingressRule(table, ...expressions)
  const portRule = (name: PortProtocol): NftMessage =>
    rule(...isProtocol(PROTOCOL[name]), ...isOurs(IPV4_DESTINATION), ...portIn(DESTINATION_PORT, name))
  const forwardRule = ({ protocol, from, fromMask }: NonNullable<GuardScope['forwards']>[number]): NftMessage => rule(
    ...isProtocol(protocol), ...isOurs(IPV4_DESTINATION), ...(fromMask === 0 ? [] : networkIs(IPV4_SOURCE, from, fromMask)),
    ...(protocol === ICMP ? byteIs(0, ECHO_REQUEST) : []),
  )
  const hook = { number: NF_NETDEV_INGRESS, priority: PRIORITY, device }
  return [
    ...newTable(family, table, ALL_SETS, INGRESS_CHAIN, hook, scope),
    ...PORT_PROTOCOLS.map(portRule), ...(scope.forwards ?? []).map(forwardRule), rule(...addressIn(IPV4_DESTINATION, WHOLE)),
    ...(guardsInside(scope) ? [insideRule(table)] : []),
  ]
}

const OUTPUT_CHAIN = 'output'
const outputRule = (table: string, ...expressions: Expression[]): NftMessage => nft.newRule(nft.Family.ipv4, table, OUTPUT_CHAIN, ...expressions)
const outputHook = { number: NF_INET_LOCAL_OUT, priority: PRIORITY }

/** An ICMP error of this type and code about a packet to one of the addresses. */
const isErrorAbout = (typeAndCode: number, ...more: Expression[]): Expression[] => [
  ...isProtocol(ICMP), nft.loadPayload(transport, 0, 2), nft.equals(nft.uint16(typeAndCode)),
  nft.loadPayload(transport, QUOTE + IPV4_DESTINATION, 4), nft.isInSet(ADDRESSES), ...more, nft.drop,
]

const FORWARD_CHAIN = 'forward'

const leavesBy = (device: string): Expression[] => [nft.loadMeta(nft.MetaKey.outputName), nft.equals(nft.interfaceName(device))]

/**
 * To be added to a table with an output chain. Drops what comes out of the TUN and would leave by the WAN, or go back into the TUN: it
 * is for an address that is not inside, as when somebody inside forges his source address. ARP does not even ask for it. Drops also
 * what this host sends from the TUN's address by the WAN, and its redirects for what would go back into the TUN.
 */
const tunRules = (table: string, { tun }: GuardScope): NftMessage[] => {
  if (tun === undefined) return []
  const { name, address, wan } = tun
  const stray = (to: string): NftMessage => nft.newRule(
    nft.Family.ipv4, table, FORWARD_CHAIN,
    nft.loadMeta(nft.MetaKey.inputName), nft.equals(nft.interfaceName(name)), ...leavesBy(to), nft.counter, nft.drop,
  )
  return [
    nft.newBaseChain(nft.Family.ipv4, table, FORWARD_CHAIN, { number: NF_INET_FORWARD, priority: PRIORITY }), stray(wan), stray(name),
    outputRule(table, nft.loadPayload(network, IPV4_SOURCE, 4), nft.equals(nft.uint32(address)), ...leavesBy(wan), nft.counter, nft.drop),
    outputRule(table, ...isProtocol(ICMP), ...byteIs(0, REDIRECT), ...leavesBy(name), nft.drop),
  ]
}

/**
 * Drops what the kernel would say about packets without ports to the scope, that is, of protocols that it does not have:
 * protocol-unreachable, and of GRE port-unreachable.
 */
export const silenceTable = (table: string, scope: GuardScope): NftMessage[] => [
  ...newTable(nft.Family.ipv4, table, SILENCE_SETS, OUTPUT_CHAIN, outputHook, scope),
  outputRule(table, ...isErrorAbout(PROTOCOL_UNREACHABLE)),
  outputRule(table, ...isErrorAbout(PORT_UNREACHABLE, ...byteIs(QUOTE + 9, GRE))),
  ...tunRules(table, scope),
]

/** Drops the RST and port-unreachable that the kernel sends on behalf of the scope; packets with `mark` pass. */
export const outputTable = (table: string, mark: number, scope: GuardScope): NftMessage[] => {
  const rule = (...expressions: Expression[]): NftMessage => outputRule(table, ...expressions)
  const unreachable = (name: 'udp' | 'udplite'): NftMessage => rule(...isErrorAbout(
    PORT_UNREACHABLE, ...byteIs(QUOTE, IPV4_WITHOUT_OPTIONS), ...byteIs(QUOTE + 9, PROTOCOL[name]), ...portIn(QUOTE_PORTS + DESTINATION_PORT, name),
  ))
  return [
    ...newTable(nft.Family.ipv4, table, ALL_SETS, OUTPUT_CHAIN, outputHook, scope),
    rule(nft.loadMeta(nft.MetaKey.mark), nft.equals(native32(mark)), nft.accept),
    rule(
      ...isProtocol(PROTOCOL.tcp), ...isOurs(IPV4_SOURCE), ...portIn(SOURCE_PORT, 'tcp'),
      nft.loadPayload(transport, TCP_FLAGS, 1), nft.mask(nft.uint8(TCP_RST)), nft.differs(nft.uint8(0)), nft.drop,
    ),
    unreachable('udp'), unreachable('udplite'),
    ...tunRules(table, scope),
  ]
}

/** Empties sets of a table. */
export const flushSets = (family: Family, table: string, sets: readonly SetName[]): NftMessage[] =>
  sets.map((set) => nft.flushSet(family, table, set))
