/** What tsnat writes of a packet that a LOG rule met, beside what this kernel writes of the same packet. */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { describePacket } from '../../src/control/packet-text.js'
import * as icmp4 from '../../src/stack/wire/icmp4.js'
import * as tcp from '../../src/stack/wire/tcp.js'
import { Lab, type LabNamespace } from '../../src/testing/lab/index.js'
import {
  buildEsp, buildFragments, buildIcmp, buildIcmpEcho, buildIcmpError, buildIpv4, buildSctp, buildTcp, buildUdp, buildUdpLite, mssOption,
} from '../../src/testing/packets.js'
import { Tun } from '../../src/tun.js'

/** Lets rules of other namespaces than the first write to the kernel's log. */
const SWITCH = '/proc/sys/net/netfilter/nf_log_all_netns'

const ENDS = { source: '10.9.0.2', destination: '198.51.100.1' }
const BACK = { source: ENDS.destination, destination: ENDS.source }
const PORTS = { ...ENDS, sourcePort: 40000, destinationPort: 80 }
const FLAGS = [tcp.FIN, tcp.SYN, tcp.RST, tcp.PSH, tcp.ACK, tcp.URG, tcp.ECE, tcp.CWR]
const SYN = { ...PORTS, flags: tcp.SYN, sequence: 0xfffffff0, window: 64240, options: Uint8Array.of(...mssOption(1460), 1, 3, 3, 7) }
const ROUTER_ALERT = Uint8Array.of(0x94, 4, 0, 0)
const request = buildUdp({ ...PORTS, payload: new Uint8Array(100), ipOptions: ROUTER_ALERT })

const withReserved = (packet: Uint8Array, bits: number): Uint8Array => {
  const changed = packet.slice()
  changed[32]! |= bits
  return changed
}

const PACKETS: Readonly<Record<string, Uint8Array>> = {
  'SYN with options': buildTcp(SYN),
  'data': buildTcp({ ...PORTS, sequence: 7, acknowledgment: 0x80000001, payload: new Uint8Array(1000), tos: 0xff, id: 4711, df: true, ttl: 3 }),
  'urgent': buildTcp({ ...PORTS, flags: tcp.URG | tcp.ACK, urgentPointer: 500 }),
  ...Object.fromEntries(FLAGS.map((flags) => [`flag ${flags}`, buildTcp({ ...PORTS, flags })])),
  'no flags': buildTcp({ ...PORTS, flags: 0 }),
  // The fourth has had a name, AE, only since Linux 6.15.
  ...Object.fromEntries([2, 4, 8].map((bits) => [`reserved bits ${bits}`, withReserved(buildTcp(PORTS), bits)])),
  'UDP': buildUdp({ ...PORTS, payload: new Uint8Array(33), tos: 0x10 }),
  'IP options': request,
  'UDP-Lite': buildUdpLite({ ...PORTS, coverage: 8, payload: new Uint8Array(5) }),
  'SCTP': buildSctp({ ...PORTS, chunks: [{ type: 1 }] }),
  'ESP': buildEsp({ ...ENDS, spi: 0xdeadbeef }),
  'short ESP': buildIpv4({ ...ENDS, protocol: 50, payload: new Uint8Array(7) }),
  'AH': buildIpv4({ ...ENDS, protocol: 51, payload: Uint8Array.of(6, 4, 0, 0, 0, 0, 1, 2, 0, 0, 0, 1, 0, 0, 0, 0) }),
  'another protocol': buildIpv4({ ...ENDS, protocol: 99, payload: new Uint8Array(9) }),
  'echo request': buildIcmpEcho({ ...ENDS, identifier: 7, sequence: 300 }),
  'echo reply': buildIcmpEcho({ ...ENDS, identifier: 65535, sequence: 1, reply: true }),
  'timestamp': buildIcmp({ ...ENDS, type: icmp4.TIMESTAMP, rest: 0x70001, payload: new Uint8Array(12) }),
  'short timestamp': buildIcmp({ ...ENDS, type: icmp4.TIMESTAMP }),
  'another ICMP type': buildIcmp({ ...ENDS, type: 40, code: 3 }),
  'port unreachable': buildIcmpError({ ...BACK, type: icmp4.UNREACHABLE, code: icmp4.CODE_PORT, quote: buildUdp(PORTS) }),
  'unreachable, TCP quoted whole': buildIcmpError({ ...BACK, type: icmp4.UNREACHABLE, code: icmp4.CODE_HOST, quote: buildTcp(SYN) }),
  'unreachable, TCP quoted in part': buildIcmpError({ ...BACK, type: icmp4.UNREACHABLE, code: icmp4.CODE_HOST, quote: buildTcp(SYN), quoteLength: 28 }),
  'unreachable, quote too short': buildIcmpError({ ...BACK, type: icmp4.UNREACHABLE, code: icmp4.CODE_HOST, quote: buildTcp(SYN), quoteLength: 19 }),
  'fragmentation needed': buildIcmpError({ ...BACK, type: icmp4.UNREACHABLE, code: icmp4.CODE_FRAGMENTATION_NEEDED, mtu: 1400, quote: request }),
  'TTL exceeded, of a ping': buildIcmpError({ ...BACK, type: icmp4.TIME_EXCEEDED, code: 0, quote: buildIcmpEcho({ ...ENDS, identifier: 9 }) }),
  'redirect': buildIcmp({ ...BACK, type: icmp4.REDIRECT, code: 1, rest: 0x0a090001, payload: buildUdp(PORTS) }),
  'parameter problem': buildIcmp({ ...BACK, type: icmp4.PARAMETER_PROBLEM, rest: 20 << 24, payload: request }),
  'an error about an error': buildIcmpError({
    ...BACK, type: icmp4.TIME_EXCEEDED, code: 0, quote: buildIcmpError({ ...ENDS, type: icmp4.UNREACHABLE, code: 3, quote: buildUdp(PORTS) }),
  }),
  ...Object.fromEntries(buildFragments(buildUdp({ ...PORTS, id: 99, payload: new Uint8Array(3000) }), 1500).map((bytes, index) => [`fragment ${index}`, bytes])),
  ...Object.fromEntries(buildFragments(buildTcp({ ...PORTS, payload: new Uint8Array(3000) }), 1500).map((bytes, index) => [`TCP fragment ${index}`, bytes])),
  'a first fragment with half a TCP header': buildIpv4({ ...ENDS, mf: true, protocol: 6, payload: new Uint8Array(16) }),
}

describe.skipIf(!existsSync(SWITCH))('a logged packet', () => {
  let lab: Lab
  let gateway: LabNamespace
  const before = existsSync(SWITCH) ? readFileSync(SWITCH, 'utf8') : ''
  const prefix = `tsnat${process.pid}`
  let lines: string[] = []

  beforeAll(async () => {
    writeFileSync(SWITCH, '1')
    lab = new Lab('logtext')
    gateway = await lab.namespace('gw')
    const rule = ['-t', 'raw', '-A', 'PREROUTING', '-i', 'tun7', '-j', 'LOG', '--log-level', 'debug', '--log-prefix']
    await gateway.run('iptables-legacy', [...rule, `${prefix} bare `])
    await gateway.run('iptables-legacy', [...rule, `${prefix} full `, '--log-tcp-sequence', '--log-tcp-options', '--log-ip-options'])
    const tun = gateway.inside(() => {
      const made = new Tun({ name: 'tun7' })
      made.ipv4 = '10.9.0.1/24'
      made.isUp = true
      return made
    })
    for (const bytes of Object.values(PACKETS)) tun.write(bytes)
    expect(tun.lost).toBe(0)
    tun.release()
    lines = execFileSync('dmesg', ['--notime'], { encoding: 'utf8', maxBuffer: 64 << 20 }).split('\n').filter((line) => line.includes(prefix))
  })

  afterAll(async () => {
    writeFileSync(SWITCH, before)
    await lab.close()
  })

  it.each(Object.keys(PACKETS).map((name, index) => [name, index] as const))('reads as in the kernel\'s log: %s', (name, index) => {
    const bytes = PACKETS[name]!
    const start = (which: string): string => `${prefix} ${which} IN=tun7 OUT= MAC= `
    expect(lines[index * 2]).toBe(start('bare') + describePacket(bytes, bytes.length, 0).text)
    expect(lines[index * 2 + 1]).toBe(start('full') + describePacket(bytes, bytes.length, 7).text)
  })
})
