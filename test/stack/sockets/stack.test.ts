import { beforeEach, describe, expect, it } from 'vitest'
import { DROP_NAMES } from '../../../src/drop.js'
import { MemoryDevice } from '../../../src/stack/device/memory.js'
import { DeviceHost } from '../../../src/stack/sockets/device-host.js'
import * as tcp from '../../../src/stack/wire/tcp.js'
import * as vnet from '../../../src/stack/wire/vnet.js'
import { checkPacket } from '../../../src/testing/check-packet.js'
import { describePacket } from '../../../src/testing/describe-packet.js'
import { seededRandom } from '../../../src/testing/memory-gateway.js'
import { buildFragments, buildIcmpEcho, buildIcmpError, buildIpv4, buildTcp, buildUdp } from '../../../src/testing/packets.js'
import { bytesOf, ip, only, unfinish } from '../support.js'

const HOST = '10.0.0.2'
const PEER = '10.0.0.9'

describe('Stack', () => {
  let device: MemoryDevice
  let host: DeviceHost

  beforeEach(() => {
    device = new MemoryDevice()
    host = new DeviceHost({ device, addresses: [`${HOST}/24`], now: 0, random: seededRandom(1), secret: new Uint8Array(16), capacity: 64 })
  })

  /** What is answered to packets that arrive. */
  const answers = (...packets: readonly Uint8Array[]): Uint8Array[] => {
    for (const packet of packets) device.push(packet)
    while (host.pump() > 0);
    const sent = device.takeSent().map(({ bytes }) => bytes)
    expect(sent.flatMap((bytes) => checkPacket(bytes))).toEqual([])
    return sent
  }
  const texts = (...packets: readonly Uint8Array[]): string[] => answers(...packets).map(describePacket)
  const syn = (options: object = {}): Uint8Array => buildTcp({ source: PEER, destination: HOST, sourcePort: 1000, destinationPort: 80, sequence: 7, flags: tcp.SYN, ...options })
  const drops = (): Record<string, number> => Object.fromEntries([...host.stack.drops].map(([reason, count]) => [DROP_NAMES[reason]!, count]))

  it('gives each protocol its packets', () => {
    expect(texts(syn())).toEqual([expect.stringContaining(`${HOST}:80 > ${PEER}:1000 TCP RST ACK seq 0 ack 8`)])
    expect(texts(buildUdp({ source: PEER, destination: HOST, sourcePort: 5, destinationPort: 53 }))).toEqual([expect.stringMatching(/^10\.0\.0\.2 > 10\.0\.0\.9 ICMP 3\/3/)])
    expect(answers(buildIpv4({ source: PEER, destination: HOST, protocol: 132, payload: new Uint8Array(20) })).map((bytes) => [bytes[9], bytes[20], bytes[21]])).toEqual([[1, 3, 2]])
  })

  it('answers pings, also those that come in fragments, and in fragments', () => {
    const ping = buildIcmpEcho({ source: PEER, destination: HOST, identifier: 3, sequence: 4, payload: bytesOf(4000) })
    const answer = answers(...buildFragments(ping, 1500).toReversed())
    expect(answer).toHaveLength(3)
    expect(Buffer.concat(answer.map((bytes) => bytes.subarray(20))).subarray(8).equals(bytesOf(4000))).toBe(true)
    expect(answers(buildIcmpEcho({ source: PEER, destination: '10.0.0.255', identifier: 3, sequence: 4 }))).toEqual([])
  })

  it('drops what is malformed, and what has a wrong checksum', () => {
    const wrong = syn()
    wrong[36]! ^= 1
    const header = syn()
    header[10]! ^= 1
    expect(answers(wrong, header, syn().subarray(0, 30), new Uint8Array(20), Uint8Array.of(0x45))).toEqual([])
    expect(drops()).toEqual({ 'bad-checksum': 1, 'bad-header-checksum': 1, 'short': 1 })
    expect(host.network.strays).toBe(2)
  })

  it('takes on trust what the device vouches for', () => {
    const { bytes, vnet: header } = unfinish(syn())
    device.push(bytes, header)
    host.pump()
    expect(describePacket(only(device.takeSent()))).toContain('RST')
    const wrong = syn()
    wrong[36]! ^= 1
    device.push(wrong, { flags: vnet.F_DATA_VALID })
    host.pump()
    expect(describePacket(only(device.takeSent()))).toContain('RST')
    device.push(bytes, { ...header, checksumOffset: 4 })
    host.pump()
    expect([device.takeSent(), drops()]).toEqual([[], { 'bad-offload': 1 }])
  })

  it('tells the socket of an ICMP error that a packet of its own is quoted in', () => {
    const endpoint = host.stack.tcp.connect({ address: ip(PEER), port: 80 })
    const codes: (string | undefined)[] = []
    endpoint.events = { ...endpoint.events, onError: ({ code }) => codes.push(code) }
    const [sent] = answers()
    const other = buildTcp({ source: HOST, destination: PEER, sourcePort: 9, destinationPort: 80, flags: tcp.SYN })
    answers(buildIcmpError({ source: '10.0.0.77', destination: HOST, type: 3, code: 3, quote: other }))
    expect(codes).toEqual([])
    answers(buildIcmpError({ source: '10.0.0.77', destination: HOST, type: 3, code: 3, quote: sent! }))
    expect(codes).toEqual(['ECONNREFUSED'])
  })

  it('lists its sockets, and ends them all', () => {
    const { stack } = host
    stack.tcp.listen({ port: 80 })
    stack.tcp.connect({ address: ip(PEER), port: 443 })
    stack.udp.open().bind(0, 53)
    stack.openPing({}).connect(ip(PEER), 0)
    host.pump()
    expect([...stack.sockets()].map(({ protocol, state, localAddress, localPort, remotePort }) => [protocol, state, localAddress, protocol === 1 ? 0 : state === 'SYN-SENT' ? 0 : localPort, remotePort])).toEqual([
      [6, 'LISTEN', 0, 80, 0], [6, 'SYN-SENT', ip(HOST), 0, 443], [17, 'UNCONNECTED', 0, 53, 0], [1, 'ESTABLISHED', expect.any(Number), 0, 0],
    ])
    expect(stack.table.count).toBe(4)
    stack.close()
    expect([[...stack.sockets()], stack.table.count, stack.next]).toEqual([[], 0, Infinity])
  })

  it('talks to itself over the loopback', () => {
    const { stack } = host
    const events = { onConnect: () => {}, onReadable: () => {}, onDrain: () => {}, onFinish: () => {}, onError: () => {}, onClose: () => {} }
    let got = 0
    stack.tcp.listen({ port: 80 }).onConnection = (endpoint) => {
      endpoint.events = { ...events, onReadable: () => { for (let bytes = endpoint.read(); bytes !== null && bytes !== 'end'; bytes = endpoint.read()) got += bytes.length } }
    }
    const client = stack.tcp.connect({ address: ip('127.0.0.1'), port: 80 })
    client.events = { ...events, onConnect: () => client.write(new Uint8Array(300_000)) }
    for (let now = 0; now < 2000 && got < 300_000; now++) {
      host.advance(now)
      while (host.pump() > 0);
    }
    expect([got, client.localAddress, device.sent]).toEqual([300_000, ip('127.0.0.1'), []])
  })
})
