/**
 * The oracle: verifies an IPv4 datagram from scratch, byte by byte. It shares no code with the stack on purpose, and is
 * written to be obvious, not fast.
 */

const ICMP = 1
const TCP = 6
const UDP = 17
const SCTP = 132
const UDPLITE = 136
const ICMP_ERRORS = [3, 4, 5, 11, 12]

/** What a virtio header leaves to be done. Offsets count from the IPv4 header. */
export interface Unfinished {
  /** Bit 0: the checksum is left to be done. */
  flags: number
  /** 0: not a superpacket. */
  gsoType: number
  gsoSize: number
  checksumStart: number
  checksumOffset: number
}

const word = (bytes: Uint8Array, at: number): number => bytes[at]! * 256 + bytes[at + 1]!

/** One's-complement sum of 16-bit words, carries brought round one at a time. */
const onesSum = (bytes: Uint8Array): number => {
  let sum = 0
  for (let i = 0; i < bytes.length; i += 2) {
    sum += bytes[i]! * 256 + (bytes[i + 1] ?? 0)
    if (sum > 0xffff) sum -= 0xffff
  }
  return sum
}

const pseudoHeader = (packet: Uint8Array, protocol: number, length: number): Uint8Array =>
  Uint8Array.of(...packet.subarray(12, 20), 0, protocol, Math.floor(length / 256), length % 256)

/** Whether options (of IP or TCP: the same shape) are well formed. */
const optionsOk = (options: Uint8Array): boolean => {
  for (let i = 0; i < options.length; ) {
    if (options[i] === 0) return true
    if (options[i] === 1) {
      i += 1
      continue
    }
    const size = options[i + 1] ?? 0
    if (size < 2 || i + size > options.length) return false
    i += size
  }
  return true
}

const NAMES: Record<number, string> = { [ICMP]: 'ICMP', [TCP]: 'TCP', [UDP]: 'UDP', [UDPLITE]: 'UDP-Lite' }

/** @param covered bytes of the segment that the checksum covers */
const checkTransportSum = (packet: Uint8Array, segment: Uint8Array, protocol: number, problems: string[], covered = segment.length): void => {
  const name = NAMES[protocol]!
  const pseudo = protocol === ICMP ? new Uint8Array(0) : pseudoHeader(packet, protocol, segment.length)
  const words = new Uint8Array(pseudo.length + segment.length)
  words.set(pseudo)
  words.set(segment, pseudo.length)
  const sum = onesSum(words.subarray(0, pseudo.length + covered))
  if (sum !== 0xffff) problems.push(`${name} checksum is wrong: the words add up to 0x${sum.toString(16)}, not 0xffff`)
}

/** The checksum field must hold the pseudo-header sum, and the virtio header must point at the field. */
const checkPartialSum = (packet: Uint8Array, header: number, protocol: number, vnet: Unfinished, problems: string[]): void => {
  const offset = protocol === TCP ? 16 : 6
  if (protocol !== TCP && protocol !== UDP) problems.push(`NEEDS_CSUM on protocol ${protocol}`)
  if (vnet.checksumStart !== header) problems.push(`csum_start ${vnet.checksumStart} is not the header length ${header}`)
  if (vnet.checksumOffset !== offset) problems.push(`csum_offset ${vnet.checksumOffset} is not ${offset}`)
  if (header + offset + 2 > packet.length) return
  const expected = onesSum(pseudoHeader(packet, protocol, packet.length - header))
  const found = word(packet, header + offset)
  if (found % 0xffff !== expected % 0xffff) {
    problems.push(`unfinished checksum 0x${found.toString(16)} is not the pseudo-header sum 0x${expected.toString(16)}`)
  }
}

const checkQuote = (quote: Uint8Array, problems: string[]): void => {
  if (quote.length < 20) {
    problems.push(`quoted packet of ${quote.length} bytes is shorter than a header`)
    return
  }
  const header = (quote[0]! % 16) * 4
  if (quote[0]! >> 4 !== 4) problems.push(`quoted version is ${quote[0]! >> 4}`)
  if (header < 20 || quote.length < Math.min(header + 8, word(quote, 2))) {
    problems.push(`quoted ${quote.length} bytes do not hold a header of ${header} and 8 bytes`)
    return
  }
  if (onesSum(quote.subarray(0, header)) !== 0xffff) problems.push('quoted header checksum is wrong')
  if (word(quote, 2) === quote.length) {
    const inner = checkPacket(quote).filter((text) => /UDP|TCP/.test(text))
    problems.push(...inner.map((text) => `quoted ${text}`))
  } else if (word(quote, 2) < quote.length) {
    problems.push(`quoted total length ${word(quote, 2)} is less than the ${quote.length} bytes quoted`)
  }
}

const checkUdp = (packet: Uint8Array, segment: Uint8Array, partial: boolean, problems: string[]): void => {
  if (segment.length < 8) problems.push(`UDP header cut short: ${segment.length} bytes`)
  else if (word(segment, 4) !== segment.length) problems.push(`UDP length ${word(segment, 4)} is not ${segment.length}`)
  else if (!partial && word(segment, 6) !== 0) checkTransportSum(packet, segment, UDP, problems)
}

const checkUdpLite = (packet: Uint8Array, segment: Uint8Array, problems: string[]): void => {
  if (segment.length < 8) {
    problems.push(`UDP-Lite header cut short: ${segment.length} bytes`)
    return
  }
  const coverage = word(segment, 4)
  if (word(segment, 6) === 0) problems.push('UDP-Lite checksum is 0')
  if ((coverage > 0 && coverage < 8) || coverage > segment.length) problems.push(`UDP-Lite coverage ${coverage} of ${segment.length} bytes`)
  else checkTransportSum(packet, segment, UDPLITE, problems, coverage === 0 ? segment.length : coverage)
}

/** CRC32c bit by bit: the remainder of a division, with bits of each byte from the lowest on. */
const crc32c = (bytes: Uint8Array): number => {
  let remainder = 0xffffffff
  for (const byte of bytes) {
    for (let bit = 0; bit < 8; bit++) {
      const isOdd = ((remainder ^ (byte >> bit)) & 1) === 1
      remainder = Math.floor(remainder / 2)
      if (isOdd) remainder = (remainder ^ 0x82f63b78) >>> 0
    }
  }
  return (remainder ^ 0xffffffff) >>> 0
}

const checkSctp = (segment: Uint8Array, problems: string[]): void => {
  if (segment.length < 16) {
    problems.push(`SCTP packet cut short: ${segment.length} bytes`)
    return
  }
  const zeroed = segment.slice()
  zeroed.fill(0, 8, 12)
  const found = segment[8]! + segment[9]! * 0x100 + segment[10]! * 0x10000 + segment[11]! * 0x1000000
  const expected = crc32c(zeroed)
  if (found !== expected) problems.push(`SCTP checksum is 0x${found.toString(16)}, not 0x${expected.toString(16)}`)
}

const checkTcp = (packet: Uint8Array, segment: Uint8Array, partial: boolean, problems: string[]): void => {
  if (segment.length < 20) {
    problems.push(`TCP header cut short: ${segment.length} bytes`)
    return
  }
  const header = (segment[12]! >> 4) * 4
  if (header < 20 || header > segment.length) problems.push(`TCP header length ${header} of ${segment.length} bytes`)
  else if (!optionsOk(segment.subarray(20, header))) problems.push('TCP options are malformed')
  if (!partial) checkTransportSum(packet, segment, TCP, problems)
}

const checkIcmp = (packet: Uint8Array, message: Uint8Array, problems: string[]): void => {
  if (message.length < 8) {
    problems.push(`ICMP header cut short: ${message.length} bytes`)
    return
  }
  checkTransportSum(packet, message, ICMP, problems)
  if (ICMP_ERRORS.includes(message[0]!)) checkQuote(message.subarray(8), problems)
}

/**
 * Everything that is wrong with a datagram as it would go over a wire; empty when all is right. Checksums of fragments
 * cannot be verified and are not; those of unknown protocols neither.
 * @param vnet its virtio header, when it has one
 */
export const checkPacket = (packet: Uint8Array, vnet?: Unfinished): string[] => {
  if (packet.length < 20) return [`${packet.length} bytes are no IPv4 header`]
  const problems: string[] = []
  if (packet[0]! >> 4 !== 4) return [`IP version is ${packet[0]! >> 4}`]
  const header = (packet[0]! % 16) * 4
  if (header < 20 || header > packet.length) return [`IPv4 header length ${header} of ${packet.length} bytes`]
  const total = word(packet, 2)
  if (total !== packet.length) problems.push(`IPv4 total length ${total} is not ${packet.length}`)
  if (onesSum(packet.subarray(0, header)) !== 0xffff) problems.push('IPv4 header checksum is wrong')
  if (word(packet, 10) === 0xffff) problems.push('IPv4 header checksum is 0xffff')
  if (!optionsOk(packet.subarray(20, header))) problems.push('IPv4 options are malformed')
  if (packet[8] === 0) problems.push('TTL is 0')

  const more = (packet[6]! & 0x20) !== 0
  const offset = (word(packet, 6) % 0x2000) * 8
  const payload = packet.subarray(header)
  if (more && payload.length % 8 !== 0) problems.push(`fragment of ${payload.length} bytes is not a multiple of 8`)
  if (offset + payload.length + header > 65535) problems.push('fragment reaches beyond 65535 bytes')
  if (more || offset > 0) return problems

  const protocol = packet[9]!
  const partial = vnet !== undefined && (vnet.flags & 1) !== 0
  if (vnet !== undefined && vnet.gsoType !== 0) {
    if (!partial) problems.push('superpacket without NEEDS_CSUM')
    if (vnet.gsoSize === 0) problems.push('superpacket with gso_size 0')
  }
  if (partial) checkPartialSum(packet, header, protocol, vnet, problems)
  if (protocol === UDP) checkUdp(packet, payload, partial, problems)
  if (protocol === TCP) checkTcp(packet, payload, partial, problems)
  if (protocol === UDPLITE) checkUdpLite(packet, payload, problems)
  if (protocol === SCTP) checkSctp(payload, problems)
  if (protocol === ICMP) checkIcmp(packet, payload, problems)
  return problems
}
