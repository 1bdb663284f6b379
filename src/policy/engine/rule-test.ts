/** Tests a compiled rule on a packet. */
import type { InterfaceNumbers } from './environment.js'
import {
  DESTINATION, DESTINATION_MASK, DESTINATION_PORTS, FLAGS, HAS_FRAGMENT, HAS_IN, HAS_OUT, HAS_PORTS, HAS_PROTOCOL, HAS_PSH, HAS_TCP_FLAGS,
  IN_INTERFACE, IN_WILDCARD, NOT_DESTINATION, NOT_DESTINATION_PORTS, NOT_FRAGMENT, NOT_IN, NOT_OUT, NOT_PROTOCOL, NOT_SOURCE, NOT_SOURCE_PORTS,
  NOT_TCP_FLAGS, OUT_INTERFACE, OUT_WILDCARD, PORT_MATCH, PROTOCOL, SOURCE, SOURCE_MASK, SOURCE_PORTS, TCP_FLAGS, TEST_COUNT, TESTS,
} from './layout.js'
import { DEPENDS_FLAGS, DEPENDS_PACKET, type Outcome } from './outcome.js'
import { LATER_FRAGMENT, type PacketMeta } from './packet-meta.js'
import type { Test } from './test.js'
import {
  FAILED_DESTINATION, FAILED_FRAGMENT, FAILED_IN_INTERFACE, FAILED_MATCH, FAILED_OUT_INTERFACE, FAILED_PROTOCOL, FAILED_SOURCE, MATCHED,
} from './trace.js'

const inRange = (word: number, port: number): boolean => port >= word >>> 16 && port <= (word & 0xffff)

/** Tests that few rules make: MATCHED, or which one fails. */
const failingRareTest = (words: Int32Array, at: number, flags: number, packet: PacketMeta, interfaces: InterfaceNumbers): number => {
  if ((flags & HAS_IN) !== 0) {
    const wanted = words[at + IN_INTERFACE]!
    const fits = (flags & IN_WILDCARD) !== 0 ? interfaces.beginsWith(packet.inInterface, wanted) : packet.inInterface === wanted
    if (fits === ((flags & NOT_IN) !== 0)) return FAILED_IN_INTERFACE
  }
  if ((flags & HAS_OUT) !== 0) {
    const wanted = words[at + OUT_INTERFACE]!
    const fits = (flags & OUT_WILDCARD) !== 0 ? interfaces.beginsWith(packet.outInterface, wanted) : packet.outInterface === wanted
    if (fits === ((flags & NOT_OUT) !== 0)) return FAILED_OUT_INTERFACE
  }
  if ((flags & HAS_PROTOCOL) !== 0 && (packet.protocol === words[at + PROTOCOL]) === ((flags & NOT_PROTOCOL) !== 0)) return FAILED_PROTOCOL
  if ((flags & HAS_FRAGMENT) !== 0 && (packet.fragment === LATER_FRAGMENT) === ((flags & NOT_FRAGMENT) !== 0)) return FAILED_FRAGMENT
  return MATCHED
}

const portsFail = (words: Int32Array, at: number, flags: number, packet: PacketMeta): boolean =>
  packet.fragment === LATER_FRAGMENT ||
  inRange(words[at + SOURCE_PORTS]!, packet.sourcePort) === ((flags & NOT_SOURCE_PORTS) !== 0) ||
  inRange(words[at + DESTINATION_PORTS]!, packet.destinationPort) === ((flags & NOT_DESTINATION_PORTS) !== 0)

const tcpFlagsFail = (words: Int32Array, at: number, flags: number, packet: PacketMeta): boolean => {
  const word = words[at + TCP_FLAGS]!
  return ((packet.tcpFlags & (word >>> 8)) === (word & 0xff)) === ((flags & NOT_TCP_FLAGS) !== 0)
}

/**
 * MATCHED, or the test that fails first. Notes in the outcome what the result depends on.
 * @param at address of the rule in `words`
 */
export const failingTest = (
  words: Int32Array, at: number, tests: readonly Test[], packet: PacketMeta, outcome: Outcome, interfaces: InterfaceNumbers,
): number => {
  const flags = words[at + FLAGS]!
  if ((((packet.source ^ words[at + SOURCE]!) & words[at + SOURCE_MASK]!) === 0) === ((flags & NOT_SOURCE) !== 0)) return FAILED_SOURCE
  if ((((packet.destination ^ words[at + DESTINATION]!) & words[at + DESTINATION_MASK]!) === 0) === ((flags & NOT_DESTINATION) !== 0)) return FAILED_DESTINATION
  if ((flags & (HAS_IN | HAS_OUT | HAS_PROTOCOL | HAS_FRAGMENT)) !== 0) {
    const failed = failingRareTest(words, at, flags, packet, interfaces)
    if (failed !== MATCHED) return failed
  }
  if ((flags & HAS_PORTS) !== 0) {
    if (portsFail(words, at, flags, packet)) return FAILED_MATCH + words[at + PORT_MATCH]!
    if ((flags & HAS_TCP_FLAGS) !== 0) {
      outcome.depends |= (flags & HAS_PSH) !== 0 ? DEPENDS_PACKET : DEPENDS_FLAGS
      if (tcpFlagsFail(words, at, flags, packet)) return FAILED_MATCH + words[at + PORT_MATCH]!
    }
  }
  const count = words[at + TEST_COUNT]!
  if (count === 0) return MATCHED
  const first = words[at + TESTS]!
  for (let index = first; index < first + count; index++) {
    const test = tests[index]!
    outcome.depends |= test.depends
    if (!test.holds(packet, outcome)) return FAILED_MATCH + test.match
  }
  return MATCHED
}
