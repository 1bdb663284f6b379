/**
 * The conformance rows: what a NAT44 gateway is asked for, by the source that asks. Tests carry a row's id at the start of
 * their name; docs/nat-behaviour.md is made from both. Levels are those of RFC 2119 (M must, MN must not, S should, SN
 * should not, O may), L for what users of Linux' netfilter expect, D for a rule of tsnat's own.
 */

import type { ProfileName } from '../../src/nat/profiles.js'

export interface Row {
  readonly id: string
  readonly level: 'M' | 'MN' | 'S' | 'SN' | 'O' | 'L' | 'D'
  /** The demand. */
  readonly title: string
  /** Why it is not met, or in which part. A row without one has a test. */
  readonly deviation?: string
}

export interface Section {
  readonly title: string
  readonly rows: readonly Row[]
}

const row = (id: string, level: Row['level'], title: string, deviation?: string): Row =>
  deviation === undefined ? { id, level, title } : { id, level, title, deviation }

export const SECTIONS: readonly Section[] = [
  {
    title: 'UDP (RFC 4787)',
    rows: [
      row('UDP-1', 'M', 'REQ-1: an inside endpoint has one outside endpoint, whoever it talks to'),
      row('UDP-2', 'S', 'REQ-2: of a pool of addresses, an inside host keeps one'),
      row('UDP-3', 'MN', 'REQ-3: no outside port for two inside endpoints'),
      row('UDP-4', 'S', 'REQ-3a: ports below 1024 become such, ports from 1024 on become such'),
      row('UDP-5', 'S', 'REQ-4: even ports become even ones, odd ports odd ones'),
      row('UDP-6', 'M', 'REQ-5: a mapping lives at least 120 s without traffic, 300 s recommended'),
      row('UDP-7', 'M', 'REQ-6: packets from inside prolong it'),
      row('UDP-8', 'M', 'REQ-7: works when the WAN gets an address of the LAN\'s network'),
      row('UDP-9', 'S', 'REQ-8: filtering endpoint-independent or address-dependent'),
      row('UDP-10', 'M', 'REQ-9: inside hosts reach each other by outside endpoints, and appear as such'),
      row('UDP-11', 'S', 'REQ-10: no meddling with payloads unless asked for'),
      row('UDP-12', 'M', 'REQ-11: behaves the same whether or not ports collide'),
      row('UDP-13', 'MN', 'REQ-12: no ICMP message ends a mapping; none is refused for its sender'),
      row('UDP-14', 'M', 'REQ-13: too big with DF: ICMP 3/4; without: fragments'),
      row('UDP-15', 'M', 'REQ-14: fragments in any order; a flood of them hurts nobody else'),
      row('UDP-16', 'D', 'source port 0 is never answered and never allocated'),
    ],
  },
  {
    title: 'TCP (RFC 5382)',
    rows: [
      row('TCP-1', 'M', 'REQ-1: an inside endpoint has one outside endpoint, whoever it talks to'),
      row('TCP-2', 'M', 'REQ-2: all valid sequences of segments, simultaneous open too'),
      row('TCP-3', 'S', 'REQ-3: filtering endpoint-independent or address-dependent'),
      row('TCP-4', 'MN', 'REQ-4: no answer to an unasked SYN within 6 s'),
      row('TCP-4b', 'M', 'REQ-4: none at all when the inside sends its own SYN in time; else one ICMP 3/3'),
      row('TCP-5', 'MN', 'REQ-5: idle time established below 2 h 4 min, transitory below 4 min'),
      row('TCP-5b', 'M', 'REQ-5: which phase a connection is in; half closed counts as established'),
      row('TCP-6', 'S', 'REQ-6: no meddling with payloads unless asked for'),
      row('TCP-7', 'MN', 'REQ-7: no outside port for two inside endpoints'),
      row('TCP-8', 'M', 'REQ-8: inside hosts reach each other by outside endpoints, and appear as such'),
      row('TCP-9', 'S', 'REQ-9: ICMP type 3 about TCP is translated'),
      row('TCP-10', 'MN', 'REQ-10: no ICMP message ends a connection'),
      row('TCP-11', 'O', 'a segment of no connection: drop or RST'),
      row('TCP-12', 'M', 'sequence numbers and SACK stay in step; what is out of window changes no state'),
      row('TCP-13', 'M', 'window scale, SACK and timestamp options stay as they are'),
      row('TCP-14', 'O', 'TIME_WAIT: the last acknowledgment can be repeated; a new SYN opens again'),
      row('SEC-5', 'D', 'RFC 5961: a challenge acknowledgment passes after an inexact RST, and the exact RST after it'),
    ],
  },
  {
    title: 'ICMP (RFC 5508)',
    rows: [
      row('ICMP-1', 'M', 'REQ-1: queries from inside and their replies pass; one id towards all remotes'),
      row('ICMP-2', 'MN', 'REQ-2: a query session lives at least 60 s'),
      row('ICMP-3', 'S', 'REQ-3: errors with a wrong checksum, or a wrong one in the quoted header, are dropped'),
      row('ICMP-3b', 'M', 'REQ-3: IP options in the quote are stepped over'),
      row('ICMP-3c', 'SN', 'REQ-3: the transport checksum in the quote is not judged'),
      row('ICMP-3d', 'M', 'REQ-3: extensions behind the quote (RFC 4884) stay as they are'),
      row('ICMP-4', 'M', 'REQ-4: errors from outside quote to the inside host what it sent'),
      row('ICMP-5', 'M', 'REQ-5: errors from inside quote to the outside what it sent, from an outside address'),
      row('ICMP-6', 'MN', 'REQ-6: errors neither prolong nor end a flow'),
      row('ICMP-7', 'M', 'REQ-7: errors about hairpinned packets find their way'),
      row('ICMP-8', 'S', 'REQ-8: the sender is told when no session can be made'),
      row('ICMP-9', 'O', 'REQ-9: generated errors can be switched off',
        'In part: for both sides at once, not for each interface.'),
      row('ICMP-10a', 'M', 'REQ-10: types 3, 11 and echo are supported'),
      row('ICMP-10b', 'O', 'REQ-10: redirect, timestamp, address mask, parameter problem, router discovery may be'),
      row('ICMP-10c', 'SN', 'REQ-10: source quench and information messages are not'),
      row('ICMP-10d', 'S', 'REQ-10: a generated error has the DSCP of its offender'),
      row('ICMP-11', 'O', 'REQ-11: other ICMP is dropped without trace'),
      row('ICMP-12', 'SN', 'source routes in or quoted by outbound ICMP do not leave'),
      row('ICMP-13', 'M', '3/4 passes with its MTU untouched'),
    ],
  },
  {
    title: 'Updates to the above (RFC 7857)',
    rows: [
      row('UPD-1', 'S', '2.1: the states of a connection and their timers'),
      row('UPD-2', 'S', '2.1: separate times for opening and closing'),
      row('UPD-3', 'M', '2.2: a RST is passed on; state stays 4 minutes, any packet cancels the removal'),
      row('UPD-4', 'O', '3: one outside port for several inside endpoints while their remotes differ'),
      row('UPD-5', 'S', '4: paired pooling: no port left on the host\'s address refuses new sessions'),
      row('UPD-6', 'S', '5: mapping and filtering are kept by protocol'),
      row('UPD-7', 'SN', '6: refused packets and unanswered strangers do not prolong a mapping'),
      row('UPD-8', 'O', '7: port parity may be off'),
      row('UPD-9', 'S', '9: a port that must change becomes one that cannot be guessed'),
      row('UPD-10', 'S', '10: IPv4 IDs of different inside hosts do not collide outside'),
      row('UPD-11', 'O', '11: an ICMP id is free again when its session is over'),
      row('UPD-12', 'M', '12: hairpin of ICMP'),
      row('UPD-13', 'MN', 'RFC 6864 4: DF is never cleared, a DF packet never cut'),
    ],
  },
  {
    title: 'Carrier-grade NAT (RFC 6888)',
    rows: [
      row('CGN-1', 'M', 'REQ-1: all of RFC 4787, 5382 and 5508'),
      row('CGN-2', 'M', 'REQ-2: an inside host keeps one outside address, across protocols'),
      row('CGN-3', 'M', 'REQ-3: the pool of addresses may have gaps'),
      row('CGN-4', 'M', 'REQ-4: limits by inside host: ports, new ones a second'),
      row('CGN-5', 'S', 'REQ-5: memory is bounded by mapping and inside host'),
      row('CGN-6', 'M', 'REQ-6: destinations that are not translated'),
      row('CGN-7', 'S', 'REQ-7: filtering endpoint-independent, or address-dependent where it does no harm'),
      row('CGN-8', 'SN', 'REQ-8: a port is not used again within 120 s'),
      row('CGN-9', 'M', 'REQ-9: a protocol by which inside hosts ask for mappings', 'Not yet: neither PCP, nor NAT-PMP, nor UPnP. Forwards are configured.'),
      row('CGN-11', 'M', 'REQ-11: without resources the new is refused and the sender told; nothing that lives is evicted',
        'In part: in a flood of forged inside addresses (limits reached, more than 256 addresses never answered) the oldest flow of such an address gives way, so that the flood keeps nobody out. With limits.makeRoom off nothing ever does.'),
      row('CGN-12', 'SN', 'REQ-12: destinations are not logged'),
      row('CGN-13', 'S', 'REQ-13: ports are used to the full'),
      row('CGN-14', 'S', 'REQ-14: the log is small'),
      row('CGN-15', 'S', 'REQ-15: ports cannot be guessed'),
      row('CGN-16', 'D', 'a record of each mapping or block: time, protocol, inside, outside, event'),
    ],
  },
  {
    title: 'Deterministic NAT (RFC 7422)',
    rows: [
      row('DET-1', 'S', 'both functions can be asked: from inside to outside and back'),
      row('DET-3', 'M', 'reserved ports are taken off first; a host uses its own range, at random, before any other'),
      row('DET-4', 'M', 'overflow blocks up to a limit, logged; none without overflow'),
      row('DET-5', 'M', 'every change of the parameters is recorded'),
    ],
  },
  {
    title: 'Port randomisation (RFC 6056)',
    rows: [
      row('RND-1', 'S', 'the widest range of ports, less those of the host'),
      row('RND-2', 'S', 'a port that is not kept is drawn at random'),
      row('RND-3', 'S', 'the numbers cannot be foretold'),
      row('RND-4', 'D', 'the search ends, also when nothing is free'),
    ],
  },
  {
    title: 'Checksums (RFC 1624, 1071, 3022, 768)',
    rows: [
      row('CSUM-1', 'S', 'the right incremental form'),
      row('CSUM-2', 'M', 'a header checksum may come out as 0000, never as ffff'),
      row('CSUM-3', 'M', 'UDP: none stays none; 0 is sent as ffff'),
      row('CSUM-4', 'M', 'TCP: 0000 is a value like any other'),
      row('CSUM-5', 'M', 'addresses count for TCP and UDP, not for ICMP; ports and ids for all'),
      row('CSUM-6', 'M', 'edits at odd offsets'),
      row('CSUM-7', 'M', 'the first fragment\'s checksum is that of the whole datagram'),
      row('CSUM-8', 'M', 'unfinished checksums of offloading devices'),
      row('CSUM-9', 'SN', 'a wrong checksum is not made right'),
    ],
  },
  {
    title: 'Router behaviour (RFC 1812, 792, 1191, 1122, 2644, 6633, 6918, 7126)',
    rows: [
      row('RTR-1', 'M', 'malformed headers are discarded silently'),
      row('RTR-2', 'M', 'TTL counts down when forwarding; at its end: 11/0'),
      row('RTR-3', 'MN', 'no ICMP error about errors, fragments, broadcasts, bad sources'),
      row('RTR-4', 'S', 'errors are rate limited'),
      row('RTR-5', 'M', 'errors quote as much as fits into 576 bytes'),
      row('RTR-6', 'M', 'errors come from the address of the interface they leave by'),
      row('RTR-7', 'M', 'the right code for each reason'),
      row('RTR-8', 'M', 'the gateway answers for itself: echo, 3/3, 3/2'),
      row('RTR-9', 'MN', 'broadcast, 127/8, 0/8, 240/4 are not forwarded'),
      row('RTR-10', 'M', 'directed broadcasts are not forwarded'),
      row('RTR-11', 'MN', 'reserved bits do not matter, and stay'),
      row('RTR-12', 'S', 'source routes are dropped; other options pass untouched'),
      row('RTR-13', 'MN', 'no redirects about translated flows'),
      row('RTR-14', 'MN', 'source quench and information messages are dead'),
      row('RTR-15', 'O', 'strict reverse-path check',
        'Not there, which the RFC allows. The LAN may use any inside source address; an own address of the WAN as source is refused on the WAN.'),
      row('RTR-16', 'D', 'a first packet that cannot travel leaves nothing behind'),
      row('RTR-17', 'D', 'errors quote the packet as the receiver of the error sent it'),
    ],
  },
  {
    title: 'Fragments and path MTU (RFC 791, 815, 1858, 3128, 5722, 8900, 1191)',
    rows: [
      row('FRG-1', 'M', 'datagrams are told apart by addresses, protocol, ID and side'),
      row('FRG-2', 'M', 'a datagram has a fixed time; 11/1 at its end if its first fragment came'),
      row('FRG-3', 'D', 'an overlap ends the datagram; a duplicate does not'),
      row('FRG-4', 'M', 'no fragment beyond 65535 bytes, none of odd length before the last'),
      row('FRG-5', 'S', 'no TCP header cut in two'),
      row('FRG-6', 'M', 'bounded in bytes and entries, in total and by source'),
      row('FRG-7', 'D', 'the receiver gets one datagram, of fragments no larger than they came'),
      row('FRG-8', 'M', 'fragmenting: 8-byte units, nested offsets, options by copy bit, few pieces'),
      row('PMTU-1', 'M', 'a datagram of 68 bytes passes everywhere'),
      row('PMTU-2', 'S', 'own TCP reacts to 3/4'),
      row('PMTU-3', 'O', 'the MSS is lowered, never raised, in SYN and SYN-ACK only'),
    ],
  },
  {
    title: 'Linux netfilter: connection tracking',
    rows: [
      row('CT-1', 'L', 'a flow is an original and a reply tuple, found by either'),
      row('CT-2', 'L', 'the line of conntrack -L'),
      row('CT-3', 'L', 'ICMP and GRE in it, the events of conntrack -E'),
      row('CT-4', 'L', 'a flow is there only when its first packet has left'),
      row('CT-5', 'L', 'ASSURED and UNREPLIED'),
      row('CT-6', 'L', 'window tracking; pick-up in mid-stream'),
      row('CT-7', 'L', 'which RST closes'),
      row('CT-8', 'L', 'a SYN in TIME_WAIT starts anew, one in an open connection does not'),
      row('CT-9', 'L', 'what is invalid changes nothing, and never leaves with its inside address'),
      row('CT-10', 'L', 'a full table makes room at the cost of unanswered flows', 'Not met on purpose: a full table refuses the new flow (RFC 6888 REQ-11 forbids eviction). Only in a flood of forged inside addresses something gives way: CGN-11.'),
      row('CT-11', 'L', 'the order of hooks'),
      row('CT-12', 'L', 'what leads a flow is asked for its first packet only'),
    ],
  },
  {
    title: 'Linux netfilter: choice of port and address',
    rows: [
      row('NAT-1', 'L', 'one outside port serves many remotes'),
      row('NAT-2', 'L', 'keeps the port if it can; then what the source already has; then searches'),
      row('NAT-3', 'L', 'searches in the class of the inside port'),
      row('NAT-4', 'L', 'the search is random and bounded; without success the packet is dropped'),
      row('NAT-5', 'L', '--to-ports: kept inside the range, else one of the range'),
      row('NAT-6', 'L', '--random-fully: drawn for each flow'),
      row('NAT-7', 'L', 'a port forward without a port of its own keeps the port; a clash gives way'),
      row('NAT-8', 'L', 'routed after the destination has changed'),
    ],
  },
  {
    title: 'Linux netfilter: MASQUERADE, REDIRECT, NETMAP',
    rows: [
      row('MASQ-1', 'L', 'the first primary address whose subnet holds the next hop'),
      row('MASQ-2', 'L', 'never a secondary one',
        'In part: Linux passes packets from 0.0.0.0 on unchanged; tsnat drops them, as RFC 1812 5.3.7 asks.'),
      row('MASQ-3', 'L', 'flows end with the address, or the interface, they leave from'),
      row('MASQ-4', 'L', 'flows end when they are routed to another interface',
        'In part: a translated flow keeps its exit while that leads to its destination, whatever else routes prefer by then, as its address there is known to the other end. When it does not, the flow ends.'),
      row('RDR-1', 'L', 'REDIRECT to a local address'),
      row('RDR-2', 'L', 'REDIRECT keeps the port unless told'),
      row('RDR-3', 'L', 'answers of a redirected connection come from the original destination'),
      row('NMAP-1', 'L', 'NETMAP: a network mapped one to one'),
    ],
  },
  {
    title: 'Linux netfilter: the gateway\'s own sockets',
    rows: [
      row('TPX-1', 'L', 'TPROXY leaves headers as they are; the connection with the packet\'s ends comes first, then the listener at on-ip and on-port'),
      row('TPX-2', 'L', 'TPROXY of UDP: first only connected sockets, then only others'),
      row('TPX-3', 'L', 'a SYN that meets TIME_WAIT goes to a listener if there is one'),
      row('TPX-4', 'L', 'only transparent sockets count; without one the packet is dropped'),
      row('TPX-5', 'L', 'the mark becomes (mark & ~mask) ^ value, only where a socket is found'),
      row('TPX-6', 'L', 'TPROXY needs a rule and a route of type local, else the packet is forwarded'),
      row('TPX-7', 'L', 'a transparent socket may have somebody else\'s address'),
      row('SOM-1', 'L', '-m socket: a connection, or a listener that is bound to an address; --nowildcard, --transparent, --restore-skmark'),
      row('SOM-2', 'L', '-m socket: ICMP errors by what they quote, replies to translated packets by their first source'),
      row('MGL-1', 'L', 'routed again after OUTPUT when mark, TOS, source or destination have changed',
        'More than the kernel does: the source of a socket that is bound to no address is chosen again, too, so that no NAT is needed.'),
      row('ORG-1', 'L', 'after NAT a socket can ask where the client wanted to go',
        'More than the kernel does: of UDP, too, with each datagram.'),
      row('ORG-2', 'L', 'with each datagram comes the destination that it was delivered with',
        'Otherwise: what comes is where the client sent it, after REDIRECT and DNAT, too, where the kernel says the gateway\'s own address.'),
      row('ORG-3', 'L', 'under TPROXY the address of the accepted socket is the destination; with DNAT before it, that before DNAT can be asked for'),
    ],
  },
]

export const ROWS: readonly Row[] = SECTIONS.flatMap(({ rows }) => rows)

/** The profile that a row is asked of. */
export const profileOf = ({ level }: Row): ProfileName => (level === 'L' ? 'linux' : 'behave')
