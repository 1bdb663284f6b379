/** The rows that are asked of tsnat's own sockets; docs/socket-behaviour.md is made from them and the tests that carry their ids. */
import type { Row, Section } from './rows.js'

const row = (id: string, level: Row['level'], title: string, deviation?: string): Row =>
  deviation === undefined ? { id, level, title } : { id, level, title, deviation }

export const SOCKET_SECTIONS: readonly Section[] = [
  {
    title: 'TCP (RFC 9293, 6191, 6528)',
    rows: [
      row('SOCK-1', 'M', 'checksums sent and verified; options read in any segment, at any place; illegal lengths survived'),
      row('SOCK-2', 'M', 'initial sequence numbers: a clock of 4 µs and a keyed hash of addresses and ports'),
      row('SOCK-3', 'M', 'the handshake, also from both sides at once; SYN_RCVD knows who opened it'),
      row('SOCK-4', 'M', 'MSS: MTU less 40 is said, 536 is assumed, options are subtracted when sending'),
      row('SOCK-5', 'M', 'which segments are taken; with a window of 0 still ACK, URG and RST'),
      row('SOCK-6', 'M', 'a segment of no connection is answered with RST, with the right numbers; never a RST'),
      row('SOCK-7', 'M', 'TIME_WAIT for 2 MSL; a SYN there may open anew; a RST there'),
      row('SOCK-8', 'M', 'at least 3 repetitions; data is not given up before 100 s, a SYN not before 180 s'),
      row('SOCK-9', 'M', 'keepalive: off, 2 hours or more, settable, one lost probe does no harm'),
      row('SOCK-10', 'M', 'closed windows are probed, for ever while that is answered; shrinking ones survived; the own never shrinks'),
      row('SOCK-11', 'M', 'no silly windows from either end; Nagle\'s algorithm, which can be switched off'),
      row('SOCK-12', 'M', 'an ACK waits less than 500 ms, at most for the second full segment; gaps are told at once'),
      row('SOCK-13', 'M', 'the urgent pointer, over any length',
        'In part: urgent bytes stay in the stream, where they were sent (RFC 6093 3.1 asks for that). Nobody is told of them, and none can be sent.'),
      row('SOCK-14', 'M', 'ICMP: soft errors abort nothing; hard ones an opening only; source quench is nothing; only about what is on its way'),
      row('SOCK-15', 'M', 'no connections with broadcast, multicast and invalid addresses, either way'),
      row('SOCK-16', 'M', 'closing with unread data resets; half closing; FIN is repeated; the user is told of aborts'),
      row('SOCK-17', 'M', 'data with a SYN is kept until the connection is there'),
      row('PMTU-2', 'S', 'RFC 1191: ICMP 3/4 makes segments smaller; larger ones are tried again after 10 minutes'),
    ],
  },
  {
    title: 'Blind attacks on TCP (RFC 5961)',
    rows: [
      row('SEC-1', 'S', '3: a RST counts with exactly the next number; elsewhere in the window it is challenged'),
      row('SEC-2', 'S', '4: a SYN in a connection is challenged'),
      row('SEC-3', 'O', '5: an ACK is neither of what was not sent nor older than the largest window'),
      row('SEC-4', 'S', '7: challenges are throttled, connection by connection'),
    ],
  },
  {
    title: 'Loss recovery and options (RFC 6298, 5681, 6582, 6928, 2018, 6675, 7323, 8985)',
    rows: [
      row('RTO-1', 'M', 'how the time-out is computed'),
      row('RTO-2', 'S', 'before a sample 1 s, at least 1 s, at most 60 s or more; 3 s when the SYN was lost'),
      row('RTO-3', 'M', 'Karn\'s algorithm; doubled when it expires, started anew with each new ACK'),
      row('CC-1', 'M', 'the initial window; after a lost SYN; after a pause'),
      row('CC-2', 'M', 'slow start and congestion avoidance, counted in bytes'),
      row('CC-3', 'M', 'after a time-out: half of what is in flight, once, and one segment'),
      row('CC-4', 'S', 'limited transmit, fast retransmit, NewReno'),
      row('SACK-1', 'M', 'SACK blocks: when, how many, which first'),
      row('SACK-2', 'M', 'SACK is advisory: reneging is survived'),
      row('SACK-3', 'S', 'RFC 6675: what is lost, what is in the pipe, what is sent next'),
      row('TS-1', 'M', 'window scale: in SYN only, at most 14'),
      row('TS-2', 'M', 'timestamps: in all segments, or in none'),
      row('TS-3', 'M', 'PAWS; its clock'),
      row('RACK-1', 'O', 'RACK: reordering is told from loss by time'),
      row('RACK-2', 'O', 'tail loss probe'),
    ],
  },
  {
    title: 'Ephemeral ports (RFC 6056)',
    rows: [
      row('RND-1', 'S', 'the widest range of ports, less those in use'),
      row('RND-2', 'S', 'ports come evenly and without order'),
      row('RND-3', 'S', 'the numbers cannot be foretold'),
      row('RND-4', 'D', 'the search ends, also when nothing is free'),
    ],
  },
]

export const SOCKET_ROWS: readonly Row[] = SOCKET_SECTIONS.flatMap(({ rows }) => rows)
