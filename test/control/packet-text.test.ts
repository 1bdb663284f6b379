/** What the kernel itself writes of many more packets is in test/netns/rule-log-text.test.ts. */
import { describe, expect, it } from 'vitest'
import { describePacket, WITH_IP_OPTIONS, WITH_TCP_OPTIONS, WITH_TCP_SEQUENCE } from '../../src/control/packet-text.js'
import * as icmp4 from '../../src/stack/wire/icmp4.js'
import * as tcp from '../../src/stack/wire/tcp.js'
import { buildFragments, buildIcmpEcho, buildIcmpError, buildTcp, buildUdp, mssOption } from '../../src/testing/packets.js'

const ENDS = { source: '10.0.0.2', destination: '198.51.100.10', sourcePort: 40000, destinationPort: 53 }
const ALL = WITH_TCP_SEQUENCE | WITH_TCP_OPTIONS | WITH_IP_OPTIONS
const syn = buildTcp({ ...ENDS, destinationPort: 443, flags: tcp.SYN, sequence: -16, window: 64240, tos: 0xb8, df: true, id: 7, options: mssOption(1460) })
const HEAD = 'SRC=10.0.0.2 DST=198.51.100.10'

const describeWhole = (bytes: Uint8Array, flags = 0) => describePacket(bytes, bytes.length, flags)

describe('the text of a logged packet', () => {
  it('tells TCP, with numbers and options where they are asked for', () => {
    expect(describeWhole(syn).text).toBe(`${HEAD} LEN=44 TOS=0x18 PREC=0xA0 TTL=64 ID=7 DF PROTO=TCP SPT=40000 DPT=443 WINDOW=64240 RES=0x00 SYN URGP=0 `)
    expect(describeWhole(syn, ALL)).toMatchObject({
      text: `${HEAD} LEN=44 TOS=0x18 PREC=0xA0 TTL=64 ID=7 DF PROTO=TCP SPT=40000 DPT=443 SEQ=4294967280 ACK=0 WINDOW=64240 RES=0x00 SYN URGP=0 OPT (020405B4) `,
      fields: {
        SRC: '10.0.0.2', DST: '198.51.100.10', LEN: 44, TOS: 0x18, PREC: 0xa0, TTL: 64, ID: 7, DF: true, PROTO: 'TCP', SPT: 40000, DPT: 443,
        SEQ: 4294967280, ACK: 0, WINDOW: 64240, RES: 0, FLAGS: ['SYN'], URGP: 0, TCPOPT: '020405B4',
      },
    })
  })

  it('has names of its own for the second length and the second identifier of a line', () => {
    expect(describeWhole(buildUdp({ ...ENDS, payload: new Uint8Array(12) }))).toMatchObject({
      text: `${HEAD} LEN=40 TOS=0x00 PREC=0x00 TTL=64 ID=0 PROTO=UDP SPT=40000 DPT=53 LEN=20 `, fields: { LEN: 40, UDPLEN: 20 },
    })
    expect(describeWhole(buildIcmpEcho({ ...ENDS, id: 5, identifier: 6, sequence: 7 }))).toMatchObject({
      text: `${HEAD} LEN=28 TOS=0x00 PREC=0x00 TTL=64 ID=5 PROTO=ICMP TYPE=8 CODE=0 ID=6 SEQ=7 `, fields: { ID: 5, ICMPID: 6, SEQ: 7 },
    })
  })

  it('tells in brackets what an ICMP error is about', () => {
    const bytes = buildIcmpError({ source: '192.0.2.1', destination: '10.0.0.2', type: icmp4.UNREACHABLE, code: icmp4.CODE_FRAGMENTATION_NEEDED, mtu: 1400, quote: syn, quoteLength: 28 })
    const quote = `${HEAD} LEN=44 TOS=0x18 PREC=0xA0 TTL=64 ID=7 DF PROTO=TCP INCOMPLETE [8 bytes] `
    expect(describeWhole(bytes)).toMatchObject({
      text: `SRC=192.0.2.1 DST=10.0.0.2 LEN=56 TOS=0x00 PREC=0x00 TTL=64 ID=0 PROTO=ICMP TYPE=3 CODE=4 [${quote}] MTU=1400 `,
      fields: { TYPE: 3, CODE: 4, MTU: 1400, QUOTE: { SRC: '10.0.0.2', DF: true, PROTO: 'TCP', INCOMPLETE: 8 } },
    })
  })

  it('tells fragments, and the bit of RFC 9768', () => {
    const [first, second] = buildFragments(buildUdp({ ...ENDS, id: 9, payload: new Uint8Array(2000) }), 1500)
    expect(describeWhole(first!).text).toBe(`${HEAD} LEN=1500 TOS=0x00 PREC=0x00 TTL=64 ID=9 MF PROTO=UDP SPT=40000 DPT=53 LEN=2008 `)
    expect(describeWhole(second!)).toMatchObject({ text: `${HEAD} LEN=548 TOS=0x00 PREC=0x00 TTL=64 ID=9 FRAG:185 PROTO=UDP `, fields: { FRAG: 185 } })
    const echoes = syn.slice()
    echoes[32]! |= 1
    expect(describeWhole(echoes).text).toContain(' RES=0x00 AE SYN ')
  })

  it.each([0, 19, 20, 27, 28, 39, 45, 60])('survives a packet of which %i bytes are there', (length) => {
    const bytes = buildIcmpError({ source: '192.0.2.1', destination: '10.0.0.2', type: icmp4.TIME_EXCEEDED, code: 0, quote: syn })
    const { text } = describePacket(bytes.slice(0, length), bytes.length, ALL)
    expect(text).toMatch(length < 20 ? /^TRUNCATED$/ : /PROTO=ICMP/)
  })
})
