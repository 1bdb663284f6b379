/** A rule's words. */
import type { RangeTest, RuleSpec, TcpMatch, UdpMatch } from '../model.js'
import { acts } from './compile-match.js'
import { DEPENDS_PACKET } from './outcome.js'
import type { InterfaceNumbers } from './environment.js'
import { flagsDepend } from './header-tests.js'
import {
  ANY_PORT, DESTINATION, DESTINATION_MASK, DESTINATION_PORTS, FLAGS, HAS_FRAGMENT, HAS_IN, HAS_OUT, HAS_PORTS, HAS_PROTOCOL, HAS_PSH, HAS_TCP_FLAGS,
  IN_INTERFACE, IN_WILDCARD, NOT_DESTINATION, NOT_DESTINATION_PORTS, NOT_FRAGMENT, NOT_IN, NOT_OUT, NOT_PROTOCOL, NOT_SOURCE, NOT_SOURCE_PORTS,
  NOT_TCP_FLAGS, OUT_INTERFACE, OUT_WILDCARD, PORT_MATCH, PROTOCOL, SOURCE, SOURCE_MASK, SOURCE_PORTS, TCP_FLAGS,
} from './layout.js'

/** The match whose ports and flags go into words, so that it is tested first: nothing before it may have to see other packets too. */
export const wordMatch = ({ matches }: RuleSpec): number => {
  for (const [index, match] of matches.entries()) {
    if (match.module === 'udp' || (match.module === 'tcp' && match.option === null)) return index
    if (acts(match)) return -1
  }
  return -1
}

const portWord = (test: RangeTest | null): number => (test === null ? ANY_PORT : (test.first << 16) | test.last)

const writePorts = (words: Int32Array, at: number, match: TcpMatch | UdpMatch): number => {
  words[at + SOURCE_PORTS] = portWord(match.source)
  words[at + DESTINATION_PORTS] = portWord(match.destination)
  const ports = HAS_PORTS | (match.source?.not === true ? NOT_SOURCE_PORTS : 0) | (match.destination?.not === true ? NOT_DESTINATION_PORTS : 0)
  if (match.module === 'udp' || match.flags === null) return ports
  const { mask, value, not } = match.flags
  words[at + TCP_FLAGS] = (mask << 8) | value
  return ports | HAS_TCP_FLAGS | (not ? NOT_TCP_FLAGS : 0) | (flagsDepend(match.flags) === DEPENDS_PACKET ? HAS_PSH : 0)
}

/** @param at address of the rule in `words`, which are zero there. @param ports index of the match that goes into words, or -1 */
export const writeRule = (words: Int32Array, at: number, spec: RuleSpec, ports: number, interfaces: InterfaceNumbers): void => {
  const { source, destination, inInterface, outInterface, protocol, fragment } = spec
  let flags = 0
  if (source !== null) {
    words[at + SOURCE] = source.address
    words[at + SOURCE_MASK] = source.mask
    if (source.not) flags |= NOT_SOURCE
  }
  if (destination !== null) {
    words[at + DESTINATION] = destination.address
    words[at + DESTINATION_MASK] = destination.mask
    if (destination.not) flags |= NOT_DESTINATION
  }
  if (inInterface !== null) {
    words[at + IN_INTERFACE] = interfaces.numberOf(inInterface.name)
    flags |= HAS_IN | (inInterface.not ? NOT_IN : 0) | (inInterface.wildcard ? IN_WILDCARD : 0)
  }
  if (outInterface !== null) {
    words[at + OUT_INTERFACE] = interfaces.numberOf(outInterface.name)
    flags |= HAS_OUT | (outInterface.not ? NOT_OUT : 0) | (outInterface.wildcard ? OUT_WILDCARD : 0)
  }
  if (protocol !== null) {
    words[at + PROTOCOL] = protocol.number
    flags |= HAS_PROTOCOL | (protocol.not ? NOT_PROTOCOL : 0)
  }
  if (fragment !== null) flags |= HAS_FRAGMENT | (fragment.not ? NOT_FRAGMENT : 0)
  if (ports >= 0) {
    words[at + PORT_MATCH] = ports
    flags |= writePorts(words, at, spec.matches[ports] as TcpMatch | UdpMatch)
  }
  words[at + FLAGS] = flags
}
