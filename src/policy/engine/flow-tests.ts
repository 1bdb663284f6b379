/** Tests of the flow that a packet belongs to, of marks, and of what else goes beyond its headers. */
import { type AddressTest, type AddrtypeMatch, type BitsTest, type ConntrackMatch, type MaskedTest, type RangeTest, type SetMatch, type SocketMatch, STATE, type StateMatch } from '../model.js'
import type { MatchOptions } from '../sets/query.js'
import type { Environment } from './environment.js'
import type { HeaderTest } from './header-tests.js'
import { DEPENDS_CONNMARK, DEPENDS_MARK, DEPENDS_PACKET, DEPENDS_ROUTES, DEPENDS_SETS, DEPENDS_STATUS } from './outcome.js'
import { ORIGINAL, type PacketMeta, REPLY } from './packet-meta.js'
import { every, type Holds, inRange } from './test.js'

const inNetwork = ({ address, mask, not }: AddressTest, value: number): boolean => (((value ^ address) & mask) === 0) !== not

/** Tests that a match makes of the flow; without a flow, they are not made (xt_conntrack). */
const tupleTests = (match: ConntrackMatch): Holds[] => {
  const tests: Holds[] = []
  const address = (test: AddressTest | null, of: (packet: PacketMeta) => number): void => {
    if (test !== null) tests.push((packet) => inNetwork(test, of(packet)))
  }
  const ports = (test: RangeTest | null, of: (packet: PacketMeta) => number): void => {
    if (test !== null) tests.push((packet) => inRange(test, of(packet)))
  }
  const { direction, protocol, status, expire } = match
  if (direction !== null) {
    const wanted = direction === 'ORIGINAL' ? ORIGINAL : REPLY
    tests.push((packet) => packet.direction === wanted)
  }
  address(match.originalSource, (packet) => packet.originalSource)
  address(match.originalDestination, (packet) => packet.originalDestination)
  address(match.replySource, (packet) => packet.replySource)
  address(match.replyDestination, (packet) => packet.replyDestination)
  if (protocol !== null) tests.push((packet) => (packet.flowProtocol === protocol.number) !== protocol.not)
  ports(match.originalSourcePort, (packet) => packet.originalSourcePort)
  ports(match.originalDestinationPort, (packet) => packet.originalDestinationPort)
  ports(match.replySourcePort, (packet) => packet.replySourcePort)
  ports(match.replyDestinationPort, (packet) => packet.replyDestinationPort)
  if (status !== null) tests.push((packet) => ((packet.status & status.bits) !== 0) !== status.not)
  if (expire !== null) tests.push((packet) => inRange(expire, packet.expires))
  return tests
}

export const conntrackTest = (match: ConntrackMatch): HeaderTest => {
  const { state } = match
  const holdsOfFlow = every(tupleTests(match))
  return {
    depends: (match.status === null ? 0 : DEPENDS_STATUS) | (match.expire === null ? 0 : DEPENDS_PACKET),
    holds: (packet, outcome) => {
      if (state !== null && ((outcome.state & state.bits) !== 0) === state.not) return false
      return outcome.isTracked ? holdsOfFlow(packet, outcome) : state !== null
    },
  }
}

const NAT_STATES = STATE.SNAT | STATE.DNAT

export const stateTest = ({ bits, not }: StateMatch): HeaderTest => ({
  depends: 0, holds: (_, outcome) => ((outcome.state & ~NAT_STATES & bits) !== 0) !== not,
})

const hasMark = ({ value, mask, not }: MaskedTest, mark: number): boolean => ((mark & mask) >>> 0 === value) !== not

export const markTest = (match: MaskedTest): HeaderTest => ({ depends: DEPENDS_MARK, holds: (_, { mark }) => hasMark(match, mark) })

export const connmarkTest = (match: MaskedTest): HeaderTest => ({
  depends: DEPENDS_CONNMARK, holds: (_, { isTracked, connmark }) => isTracked && hasMark(match, connmark),
})

/** Bit n is set when part n of an element is compared with the source side. */
export const directionBits = (directions: readonly ('src' | 'dst')[]): number =>
  directions.reduce((bits, direction, part) => (direction === 'src' ? bits | (1 << part) : bits), 0)

export const setTest = (match: SetMatch, environment: Environment): HeaderTest => {
  const set = environment.setNumber(match.name)
  const { not, directions: { length: parts } } = match
  const directions = directionBits(match.directions)
  const dry: MatchOptions = { ...match, updateCounters: false, updateSubcounters: false }
  const { sets, clock } = environment
  const countsPackets = match.packets !== null || match.bytes !== null
  return {
    depends: countsPackets ? DEPENDS_SETS | DEPENDS_PACKET : DEPENDS_SETS,
    holds: (packet, { isDry }) => (set >= 0 && sets.matches(set, packet, directions, parts, isDry ? dry : match, clock.now)) !== not,
  }
}

const hasType = ({ bits, not }: BitsTest, type: number): boolean => ((bits & (1 << type)) !== 0) !== not

export const addrtypeTest = ({ source, destination, limit }: AddrtypeMatch, environment: Environment): HeaderTest => {
  const interfaceOf = ({ inInterface, outInterface }: PacketMeta): number => (limit === 'in' ? inInterface : limit === 'out' ? outInterface : 0)
  const tests: Holds[] = []
  if (source !== null) tests.push((packet) => hasType(source, environment.addressType(packet.source, interfaceOf(packet))))
  if (destination !== null) tests.push((packet) => hasType(destination, environment.addressType(packet.destination, interfaceOf(packet))))
  return { depends: DEPENDS_ROUTES, holds: every(tests) }
}

/** Sockets come and go without the flow: each packet has to ask. */
export const socketTest = ({ transparent, noWildcard, restoreMark }: SocketMatch, environment: Environment): HeaderTest => ({
  depends: DEPENDS_PACKET,
  holds: (packet, outcome) => {
    const row = environment.findSocket(packet, outcome.socket, transparent, noWildcard)
    if (row < 0) return false
    const mark = restoreMark ? environment.markOfSocket(row) : -1
    if (mark >= 0) outcome.mark = mark
    return true
  },
})
