/** Tests of what stands in the packet's headers. */
import type {
  DscpMatch, IcmpMatch, IprangeMatch, LengthMatch, MaskedTest, MatchOf, MultiportMatch, RangeTest, TcpMatch, TcpmssMatch, TosMatch, TtlMatch, UdpMatch,
} from '../model.js'
import type { Environment } from './environment.js'
import { DEPENDS_FLAGS, DEPENDS_PACKET } from './outcome.js'
import { LATER_FRAGMENT } from './packet-meta.js'
import { every, type Holds, inRange } from './test.js'

/** A test, without its place in the rule. */
export interface HeaderTest { readonly depends: number; readonly holds: Holds }

const PSH = 8
const DSCP_SHIFT = 2

/** Segments of a flow differ by PSH without being told apart; by other flags only at its ends. */
export const flagsDepend = ({ mask }: Pick<MaskedTest, 'mask'>): number => ((mask & PSH) !== 0 ? DEPENDS_PACKET : DEPENDS_FLAGS)

const portTests = ({ source, destination }: { source: RangeTest | null; destination: RangeTest | null }): Holds[] => {
  const tests: Holds[] = [({ fragment }) => fragment !== LATER_FRAGMENT]
  if (source !== null) tests.push(({ sourcePort }) => inRange(source, sourcePort))
  if (destination !== null) tests.push(({ destinationPort }) => inRange(destination, destinationPort))
  return tests
}

const udpTest = (match: UdpMatch): HeaderTest => ({ depends: 0, holds: every(portTests(match)) })

const tcpTest = (match: TcpMatch, environment: Environment): HeaderTest => {
  const tests = portTests(match)
  const { flags, option } = match
  if (flags !== null) tests.push(({ tcpFlags }) => ((tcpFlags & flags.mask) === flags.value) !== flags.not)
  if (option !== null) tests.push((packet) => environment.hasTcpOption(packet, option.number) !== option.not)
  return { depends: (flags === null ? 0 : flagsDepend(flags)) | (option === null ? 0 : DEPENDS_PACKET), holds: every(tests) }
}

/** The type goes with the side of a flow, the code does not. */
const icmpTest = ({ type, code, not }: IcmpMatch): HeaderTest => ({
  depends: code === null ? 0 : DEPENDS_PACKET,
  holds: ({ fragment, icmpType, icmpCode }) =>
    fragment !== LATER_FRAGMENT && (type === null || (icmpType === type && (code === null || icmpCode === code))) !== not,
})

const hasPort = ({ ports }: MultiportMatch, port: number): boolean => {
  for (const { first, last } of ports) if (port >= first && port <= last) return true
  return false
}

const multiportTest = (match: MultiportMatch): HeaderTest => {
  const { direction, not } = match
  const looksAtSource = direction !== 'destination'
  const looksAtDestination = direction !== 'source'
  return {
    depends: 0,
    holds: ({ fragment, sourcePort, destinationPort }) => fragment !== LATER_FRAGMENT &&
      ((looksAtSource && hasPort(match, sourcePort)) || (looksAtDestination && hasPort(match, destinationPort))) !== not,
  }
}

const lengthTest = (match: LengthMatch): HeaderTest => ({ depends: DEPENDS_PACKET, holds: ({ length }) => inRange(match, length) })

const ttlTest = ({ compare, value }: TtlMatch): HeaderTest => {
  const holds: Record<TtlMatch['compare'], Holds> = {
    eq: (_, { ttl }) => ttl === value,
    ne: (_, { ttl }) => ttl !== value,
    lt: (_, { ttl }) => ttl < value,
    gt: (_, { ttl }) => ttl > value,
  }
  return { depends: DEPENDS_PACKET, holds: holds[compare] }
}

const tosTest = ({ value, mask, not }: TosMatch): HeaderTest => ({
  depends: DEPENDS_PACKET, holds: (_, { tos }) => ((tos & mask) === value) !== not,
})

const dscpTest = ({ value, not }: DscpMatch): HeaderTest => ({
  depends: DEPENDS_PACKET, holds: (_, { tos }) => (tos >>> DSCP_SHIFT === value) !== not,
})

const inAddressRange = ({ first, last, not }: RangeTest, address: number): boolean =>
  (address >>> 0 >= first >>> 0 && address >>> 0 <= last >>> 0) !== not

const iprangeTest = ({ source, destination }: IprangeMatch): HeaderTest => {
  const tests: Holds[] = []
  if (source !== null) tests.push((packet) => inAddressRange(source, packet.source))
  if (destination !== null) tests.push((packet) => inAddressRange(destination, packet.destination))
  return { depends: 0, holds: every(tests) }
}

/** Without the option, the test holds when it is inverted. */
const tcpmssTest = (match: TcpmssMatch, environment: Environment): HeaderTest => ({
  depends: DEPENDS_PACKET,
  holds: (packet, outcome) => {
    // As TCPMSS has lowered it before.
    const mss = Math.min(environment.tcpMss(packet), outcome.mss)
    return mss < 0 ? match.not : inRange(match, mss)
  },
})

type HeaderMatch = MatchOf<'tcp' | 'udp' | 'icmp' | 'multiport' | 'length' | 'ttl' | 'tos' | 'dscp' | 'iprange' | 'tcpmss'>

export const headerTest = (match: HeaderMatch, environment: Environment): HeaderTest => {
  switch (match.module) {
    case 'tcp': return tcpTest(match, environment)
    case 'udp': return udpTest(match)
    case 'icmp': return icmpTest(match)
    case 'multiport': return multiportTest(match)
    case 'length': return lengthTest(match)
    case 'ttl': return ttlTest(match)
    case 'tos': return tosTest(match)
    case 'dscp': return dscpTest(match)
    case 'iprange': return iprangeTest(match)
    case 'tcpmss': return tcpmssTest(match, environment)
  }
}
