/**
 * Messages of nf_tables, as far as the guard needs them: tables, base chains, sets, rules and the expressions in them
 * (linux/netfilter/nf_tables.h). Integers in attributes are big-endian here, other than in rtnetlink.
 */

export const Family = { ipv4: 2, netdev: 5 } as const
export type Family = (typeof Family)[keyof typeof Family]

/** NFT_MSG_*. */
const MessageType = {
  newTable: 0, deleteTable: 2, newChain: 3, newRule: 6, newSet: 9, newElements: 12, deleteElements: 14,
} as const

/** One operation of a transaction. */
export interface NftMessage {
  /** NFT_MSG_*. */
  type: number
  family: Family
  /** NLM_F_* besides REQUEST. */
  flags: number
  attributes: Buffer
  /** For error messages: what was to be done. */
  what: string
}

const NLM_F_EXCL = 0x200
const NLM_F_CREATE = 0x400
const NLM_F_APPEND = 0x800
const NLA_F_NESTED = 0x8000
const ATTRIBUTE_HEADER = 4

const attribute = (type: number, data: Buffer): Buffer => {
  const padded = (data.length + 3) & ~3
  const bytes = Buffer.alloc(ATTRIBUTE_HEADER + padded)
  // The header has the machine's byte order.
  bytes.set(new Uint8Array(Uint16Array.of(ATTRIBUTE_HEADER + data.length, type).buffer), 0)
  bytes.set(data, ATTRIBUTE_HEADER)
  return bytes
}
const nested = (type: number, ...parts: readonly Buffer[]): Buffer => attribute(type | NLA_F_NESTED, Buffer.concat(parts))
const text = (type: number, value: string): Buffer => attribute(type, Buffer.from(`${value}\0`))

export const uint8 = (value: number): Buffer => Buffer.of(value)
export const uint16 = (value: number): Buffer => Buffer.of(value >>> 8, value & 0xff)
export const uint32 = (value: number): Buffer => Buffer.of(value >>> 24, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff)
const number = (type: number, value: number): Buffer => attribute(type, uint32(value))

/** An expression of a rule, encoded. Registers are 1 to 4; one rule uses register 1 only. */
export type Expression = Buffer

const REGISTER = 1
const NFTA_LIST_ELEM = 1
const expression = (name: string, ...attributes: readonly Buffer[]): Expression =>
  nested(NFTA_LIST_ELEM, text(1, name), nested(2, ...attributes))

export const MetaKey = { protocol: 1, mark: 3, inputName: 6, outputName: 7, layer4: 16 } as const
export const loadMeta = (key: (typeof MetaKey)[keyof typeof MetaKey]): Expression =>
  expression('meta', number(2, key), number(1, REGISTER))

export const PayloadBase = { network: 1, transport: 2 } as const
/** Bytes of the packet; a packet that has none there, e.g. a later fragment, does not match the rule. */
export const loadPayload = (base: (typeof PayloadBase)[keyof typeof PayloadBase], offset: number, length: number): Expression =>
  expression('payload', number(1, REGISTER), number(2, base), number(3, offset), number(4, length))

const data = (type: number, value: Buffer): Buffer => nested(type, attribute(1, value))

const compare = (operation: number, value: Buffer): Expression =>
  expression('cmp', number(1, REGISTER), number(2, operation), data(3, value))
export const equals = (value: Buffer): Expression => compare(0, value)
export const differs = (value: Buffer): Expression => compare(1, value)

const IFNAMSIZ = 16
/** An interface's name as {@link loadMeta} loads it. */
export const interfaceName = (name: string): Buffer => Buffer.concat([Buffer.from(name)], IFNAMSIZ)

/** Counts packets and bytes; nft(8) shows them. */
export const counter: Expression = expression('counter')

/** Keeps the bits of `mask`. */
export const mask = (bits: Buffer): Expression => {
  const none = Buffer.alloc(bits.length)
  return expression('bitwise', number(1, REGISTER), number(2, REGISTER), number(3, bits.length), data(4, bits), data(5, none))
}

/** Loads what the routing table says of the destination: RTN_LOCAL when it is an address of this host. As the kernel holds numbers. */
export const loadDestinationType: Expression = expression('fib', number(1, REGISTER), number(2, 3), number(3, 2))

export const isInSet = (set: string): Expression => expression('lookup', text(1, set), number(2, REGISTER))

const verdict = (code: number): Expression => expression('immediate', number(1, 0), nested(2, nested(2, number(1, code))))
export const drop: Expression = verdict(0)
export const accept: Expression = verdict(1)

/** The table vanishes with the socket that makes it (NFT_TABLE_F_OWNER, Linux 5.12), and nobody else may change it. */
export const newOwnedTable = (family: Family, table: string): NftMessage => ({
  type: MessageType.newTable,
  family,
  flags: NLM_F_CREATE | NLM_F_EXCL,
  attributes: Buffer.concat([text(1, table), number(2, 2)]),
  what: `make table "${table}"`,
})

export const deleteTable = (family: Family, table: string): NftMessage =>
  ({ type: MessageType.deleteTable, family, flags: 0, attributes: text(1, table), what: `remove table "${table}"` })

export interface Hook {
  /** NF_NETDEV_INGRESS (0), NF_INET_FORWARD (2), NF_INET_LOCAL_OUT (3). */
  number: number
  priority: number
  /** For the family netdev. */
  device?: string
}

/** A filter chain whose policy is to accept. */
export const newBaseChain = (family: Family, table: string, chain: string, hook: Hook): NftMessage => ({
  type: MessageType.newChain,
  family,
  flags: NLM_F_CREATE | NLM_F_EXCL,
  attributes: Buffer.concat([
    text(1, table),
    text(3, chain),
    nested(4, number(1, hook.number), number(2, hook.priority), ...(hook.device === undefined ? [] : [text(3, hook.device)])),
    number(5, 1),
    text(7, 'filter'),
  ]),
  what: `make chain "${chain}"`,
})

/** Key types by the numbers that nft(8) knows, so that it can print the set. */
export const KeyType = { address: { type: 7, length: 4 }, port: { type: 13, length: 2 } } as const

const NFT_SET_INTERVAL = 4

export interface SetDefinition {
  name: string
  /** Number of the set within its transaction. */
  id: number
  key: (typeof KeyType)[keyof typeof KeyType]
  /** Elements are ranges. */
  interval: boolean
}

export const newSet = (family: Family, table: string, set: SetDefinition): NftMessage => ({
  type: MessageType.newSet,
  family,
  flags: NLM_F_CREATE | NLM_F_EXCL,
  attributes: Buffer.concat([
    text(1, table),
    text(2, set.name),
    number(3, set.interval ? NFT_SET_INTERVAL : 0),
    number(4, set.key.type),
    number(5, set.key.length),
    number(10, set.id),
  ]),
  what: `make set "${set.name}"`,
})

export interface Element {
  key: Buffer
  /** The key is the first one beyond a range that began with the element before. */
  end?: boolean
}

const elementList = (elements: readonly Element[]): Buffer =>
  nested(3, ...elements.map(({ key, end }) =>
    nested(NFTA_LIST_ELEM, data(1, key), ...(end === true ? [number(3, 1)] : []))))

export const addElements = (family: Family, table: string, set: string, elements: readonly Element[]): NftMessage => ({
  type: MessageType.newElements,
  family,
  flags: NLM_F_CREATE,
  attributes: Buffer.concat([text(1, table), text(2, set), elementList(elements)]),
  what: `fill set "${set}"`,
})

/** Removes all elements. */
export const flushSet = (family: Family, table: string, set: string): NftMessage => ({
  type: MessageType.deleteElements,
  family,
  flags: 0,
  attributes: Buffer.concat([text(1, table), text(2, set)]),
  what: `empty set "${set}"`,
})

/** Appends a rule. */
export const newRule = (family: Family, table: string, chain: string, ...expressions: readonly Expression[]): NftMessage => ({
  type: MessageType.newRule,
  family,
  flags: NLM_F_CREATE | NLM_F_APPEND,
  attributes: Buffer.concat([text(1, table), text(2, chain), nested(4, ...expressions)]),
  what: `add a rule to chain "${chain}"`,
})
