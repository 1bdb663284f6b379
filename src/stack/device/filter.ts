/**
 * Socket filters in classic BPF: what a packet socket on the WAN hears. The filter runs in the kernel, ahead of the queue,
 * so that the host's own traffic costs the gateway nothing.
 *
 * Loads are relative to the network header (SKF_NET_OFF), so that one program serves interfaces with and without Ethernet
 * headers.
 */

const LOAD_WORD = 0x20
const LOAD_HALF = 0x28
const LOAD_BYTE = 0x30
const LOAD_WORD_INDEXED = 0x40
const LOAD_HALF_INDEXED = 0x48
const LOAD_BYTE_INDEXED = 0x50
const TAX = 0x07
const ALU_AND = 0x54
const ALU_LSH = 0x64
const JUMP = 0x05
const JUMP_EQUAL = 0x15
const JUMP_GREATER_EQUAL = 0x35
const JUMP_SET = 0x45
const RETURN = 0x06

/** Relative to the network header. */
const NETWORK = -0x100000
/** The protocol of the frame (an ethertype). */
const SKF_PROTOCOL = -0x1000
/** PACKET_HOST and so on. */
const SKF_PACKET_TYPE = -0x1000 + 4
const PACKET_OUTGOING = 4

const ETHERTYPE_IPV4 = 0x0800
const ETHERTYPE_ARP = 0x0806

const ACCEPT_ALL = 0x40000

type Target = 'accept' | 'reject' | string
/** `to`: where a JUMP leads, however far; others have `yes` and `no`, within 255 instructions. */
interface Instruction { code: number; k: number; yes?: Target; no?: Target; to?: Target; label?: string }

/** Resolves labels and packs the program as the machine has struct sock_filter. */
const assemble = (program: Instruction[]): Uint8Array => {
  const out = new Uint8Array(program.length * 8)
  const view = new DataView(out.buffer)
  const little = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1
  const find = (label: Target, from: number, furthest = 255): number => {
    const to = program.findIndex((instruction) => instruction.label === label)
    const distance = to - from - 1
    if (to < 0 || distance < 0 || distance > furthest) throw new RangeError(`BPF jump from ${from} to ${label} is out of range`)
    return distance
  }
  program.forEach((instruction, index) => {
    view.setUint16(index * 8, instruction.code, little)
    if (instruction.to !== undefined) {
      view.setInt32(index * 8 + 4, find(instruction.to, index, Infinity), little)
      return
    }
    view.setUint8(index * 8 + 2, instruction.yes === undefined ? 0 : find(instruction.yes, index))
    view.setUint8(index * 8 + 3, instruction.no === undefined ? 0 : find(instruction.no, index))
    view.setInt32(index * 8 + 4, instruction.k, little)
  })
  return out
}

export interface FilterOptions {
  /** Addresses whose packets are ours, int32. */
  readonly addresses: readonly number[]
  /** Networks whose packets are all ours: inside hosts that are not translated. */
  readonly networks?: readonly { readonly address: number; readonly mask: number }[]
  /** Inclusive ranges of external ports; null: the addresses are ours alone, everything to them is heard. */
  readonly ports: readonly (readonly [first: number, last: number])[] | null
  /** Echo requests are heard, too. */
  readonly pings: boolean
  /** Protocols without ports that are heard, besides ICMP; null for all. */
  readonly protocols: readonly number[] | null
  /** ARP frames are heard too. */
  readonly arp: boolean
}

/** Ranges of addresses in a program at most. */
const RANGES_MAX = 100

/** Addresses as ranges, ascending as unsigned numbers; where they are too many, those with the smallest gaps between them are one. */
const addressRanges = (addresses: readonly number[]): [first: number, last: number][] => {
  const ranges: [first: number, last: number][] = []
  for (const address of Uint32Array.from(addresses).sort()) {
    const before = ranges.at(-1)
    if (before !== undefined && address <= before[1] + 1) before[1] = address
    else ranges.push([address, address])
  }
  const gapBefore = (index: number): number => ranges[index]![0] - ranges[index - 1]![1]
  const gaps = ranges.slice(1).map((_, index) => gapBefore(index + 1)).sort((a, b) => b - a)
  const least = gaps[RANGES_MAX - 1] ?? 0
  const joined: [first: number, last: number][] = []
  for (const [index, range] of ranges.entries()) {
    if (index > 0 && gapBefore(index) <= least) joined.at(-1)![1] = range[1]
    else joined.push([...range])
  }
  return joined
}

/**
 * Lets through IPv4 to one of the addresses: TCP, UDP, UDP-Lite and SCTP to one of the ports, echo replies with one of them as identifier,
 * other ICMP but echo requests, the protocols named, fragments without transport header; all other IPv4 to one of the networks; and ARP if asked.
 * Addresses that are ours alone may be any number: of very many, some that lie between them are let through as well.
 * @throws RangeError when there are more shared addresses and port ranges than a program can hold (some 200 in all)
 */
export const wanFilter = (options: FilterOptions): Uint8Array => {
  const program: Instruction[] = [
    { code: LOAD_HALF, k: SKF_PACKET_TYPE },
    { code: JUMP_EQUAL, k: PACKET_OUTGOING, yes: 'reject-early', no: 'protocol' },
    { code: RETURN, k: 0, label: 'reject-early' },
    { code: LOAD_HALF, k: SKF_PROTOCOL, label: 'protocol' },
    { code: JUMP_EQUAL, k: ETHERTYPE_ARP, yes: 'arp', no: 'not-arp' },
    { code: RETURN, k: options.arp ? ACCEPT_ALL : 0, label: 'arp' },
    { code: JUMP_EQUAL, k: ETHERTYPE_IPV4, yes: 'ipv4', no: 'not-ipv4', label: 'not-arp' },
    { code: RETURN, k: 0, label: 'not-ipv4' },
    { code: LOAD_WORD, k: NETWORK + 16, label: 'ipv4' },
  ]
  // The host's own addresses may be in the networks.
  if (options.ports !== null) {
    for (const address of options.addresses) program.push({ code: JUMP_EQUAL, k: address, yes: 'own' })
    program.push({ code: JUMP, k: 0, to: 'others' }, { code: JUMP, k: 0, to: 'ours', label: 'own' })
    program.push({ code: LOAD_WORD, k: NETWORK + 16, label: 'others' })
  }
  for (const [index, { address, mask }] of (options.networks ?? []).entries()) {
    program.push(
      { code: ALU_AND, k: mask },
      { code: JUMP_EQUAL, k: address & mask, yes: `network-${index}`, no: `beyond-${index}` },
      { code: RETURN, k: ACCEPT_ALL, label: `network-${index}` },
      { code: LOAD_WORD, k: NETWORK + 16, label: `beyond-${index}` },
    )
  }
  if (options.ports === null) {
    addressRanges(options.addresses).forEach(([first, last], index) => {
      program.push({ code: JUMP_GREATER_EQUAL, k: first, yes: `from-${index}`, no: `past-${index}` })
      program.push({ code: JUMP_GREATER_EQUAL, k: last + 1, yes: `past-${index}`, no: `ours-${index}`, label: `from-${index}` })
      program.push({ code: RETURN, k: ACCEPT_ALL, label: `ours-${index}` })
      program.push({ code: JUMP, k: 0, label: `past-${index}` })
    })
    program.push({ code: RETURN, k: 0 })
    return assemble(program)
  }
  program.push({ code: RETURN, k: 0 })
  program.push(
    { code: LOAD_HALF, k: NETWORK + 6, label: 'ours' },
    { code: JUMP_SET, k: 0x1fff, yes: 'accept-early', no: 'whole' },
    { code: RETURN, k: ACCEPT_ALL, label: 'accept-early' },
    // X := header length, counted from NETWORK by the indexed loads below.
    { code: LOAD_BYTE, k: NETWORK, label: 'whole' },
    { code: ALU_AND, k: 15 },
    { code: ALU_LSH, k: 2 },
    { code: TAX, k: 0 },
    { code: LOAD_BYTE, k: NETWORK + 9 },
    { code: JUMP_EQUAL, k: 1, yes: 'icmp' },
    { code: JUMP_EQUAL, k: 6, yes: 'ports' },
    { code: JUMP_EQUAL, k: 17, yes: 'ports' },
    { code: JUMP_EQUAL, k: 132, yes: 'ports' },
    { code: JUMP_EQUAL, k: 136, yes: 'ports' },
    ...(options.protocols ?? []).map((protocol): Instruction => ({ code: JUMP_EQUAL, k: protocol, yes: 'icmp-other' })),
    { code: RETURN, k: options.protocols === null ? ACCEPT_ALL : 0 },
    { code: LOAD_HALF_INDEXED, k: NETWORK, label: 'icmp' },
    { code: ALU_AND, k: 0xff00 },
    { code: JUMP_EQUAL, k: 0x0800, yes: 'echo-request' },
    { code: JUMP_EQUAL, k: 0, yes: 'echo-reply', no: 'icmp-other' },
    { code: RETURN, k: options.pings ? ACCEPT_ALL : 0, label: 'echo-request' },
    { code: RETURN, k: ACCEPT_ALL, label: 'icmp-other' },
    { code: LOAD_HALF_INDEXED, k: NETWORK + 4, label: 'echo-reply' },
    { code: JUMP, k: 0, to: 'ranges' },
    { code: LOAD_HALF_INDEXED, k: NETWORK + 2, label: 'ports' },
    { code: JUMP, k: 0, label: 'ranges' },
  )
  options.ports.forEach(([first, last], index) => {
    program.push({ code: JUMP_GREATER_EQUAL, k: first, yes: `in-${index}`, no: `next-${index}` })
    program.push({ code: JUMP_GREATER_EQUAL, k: last + 1, yes: `next-${index}`, no: `hit-${index}`, label: `in-${index}` })
    program.push({ code: RETURN, k: ACCEPT_ALL, label: `hit-${index}` })
    program.push({ code: JUMP, k: 0, label: `next-${index}` })
  })
  program.push({ code: RETURN, k: 0 })
  return assemble(program)
}

/**
 * What answers a probe of a link: ARP replies of a neighbour, echo replies with our identifier from the target, and
 * destination-unreachable about packets to the target. Addresses are int32.
 */
export const probeFilter = (neighbour: number, target: number, identifier: number): Uint8Array => assemble([
  { code: LOAD_HALF, k: SKF_PROTOCOL },
  { code: JUMP_EQUAL, k: ETHERTYPE_ARP, yes: 'arp' },
  { code: JUMP_EQUAL, k: ETHERTYPE_IPV4, no: 'reject' },
  { code: LOAD_BYTE, k: NETWORK + 9 },
  { code: JUMP_EQUAL, k: 1, no: 'reject' },
  { code: LOAD_HALF, k: NETWORK + 6 },
  { code: JUMP_SET, k: 0x1fff, yes: 'reject' },
  { code: LOAD_BYTE, k: NETWORK },
  { code: ALU_AND, k: 15 },
  { code: ALU_LSH, k: 2 },
  { code: TAX, k: 0 },
  { code: LOAD_BYTE_INDEXED, k: NETWORK },
  { code: JUMP_EQUAL, k: 0, yes: 'echo-reply' },
  { code: JUMP_EQUAL, k: 3, no: 'reject' },
  // The destination in the quoted header.
  { code: LOAD_WORD_INDEXED, k: NETWORK + 24 },
  { code: JUMP_EQUAL, k: target, yes: 'accept', no: 'reject' },
  { code: LOAD_HALF_INDEXED, k: NETWORK + 4, label: 'echo-reply' },
  { code: JUMP_EQUAL, k: identifier, no: 'reject' },
  { code: LOAD_WORD, k: NETWORK + 12 },
  { code: JUMP_EQUAL, k: target, yes: 'accept', no: 'reject' },
  { code: LOAD_HALF, k: NETWORK + 6, label: 'arp' },
  { code: JUMP_EQUAL, k: 2, no: 'reject' },
  { code: LOAD_WORD, k: NETWORK + 14 },
  { code: JUMP_EQUAL, k: neighbour, yes: 'accept', no: 'reject' },
  { code: RETURN, k: ACCEPT_ALL, label: 'accept' },
  { code: RETURN, k: 0, label: 'reject' },
])
