/** What the data plane tells of flows: when, in which order, in conntrack's words. */
import { describe, expect, it } from 'vitest'
import { ACK, FIN, RST, SYN } from '../src/stack/wire/tcp.js'
import { MemoryGateway, type MemoryGatewayOptions } from '../src/testing/memory-gateway.js'
import { buildIcmpEcho, buildTcp, buildUdp } from '../src/testing/packets.js'
import { follow, printed } from './events.js'
import { A, B, E, ip, P, Q } from './stack/support.js'

const UDP = { source: A, destination: P, sourcePort: 5000, destinationPort: 53 }
const UDP_BACK = { source: P, destination: E, sourcePort: 53, destinationPort: 5000 }
const TCP = { source: A, destination: P, sourcePort: 5000, destinationPort: 80 }
const TCP_BACK = { source: P, destination: E, sourcePort: 80, destinationPort: 5000 }
const LINUX: MemoryGatewayOptions = { profile: 'linux' }

const setUp = (options: MemoryGatewayOptions = LINUX) => {
  const gateway = new MemoryGateway(options)
  return { gateway, heard: follow(gateway, options) }
}
/** The first two words of each line, and the TCP state. */
const kinds = (lines: readonly string[]): string[] => lines.map((line) => line.trim().replace(/ src=.*/, '').replaceAll(/ +/g, ' '))

describe('events of flows', () => {
  it('CT-3: tell a TCP connection from its SYN to its end', async () => {
    const { gateway, heard } = setUp()
    gateway.fromLan(buildTcp({ ...TCP, flags: SYN, sequence: 100 }))
    gateway.fromWan(buildTcp({ ...TCP_BACK, flags: SYN | ACK, sequence: 500, acknowledgment: 101 }))
    gateway.fromLan(buildTcp({ ...TCP, flags: ACK, sequence: 101, acknowledgment: 501 }))
    gateway.fromLan(buildTcp({ ...TCP, flags: ACK, sequence: 101, acknowledgment: 501, payload: Uint8Array.of(1) }))
    gateway.fromWan(buildTcp({ ...TCP_BACK, flags: ACK, sequence: 501, acknowledgment: 102 }))
    gateway.fromLan(buildTcp({ ...TCP, flags: FIN | ACK, sequence: 102, acknowledgment: 501 }))
    gateway.fromWan(buildTcp({ ...TCP_BACK, flags: FIN | ACK, sequence: 501, acknowledgment: 103 }))
    gateway.fromLan(buildTcp({ ...TCP, flags: ACK, sequence: 103, acknowledgment: 502 }))
    gateway.advance(1000)
    const forward = 'src=10.0.0.2 dst=198.51.100.10 sport=5000 dport=80'
    const back = 'src=198.51.100.10 dst=203.0.113.1 sport=80 dport=5000'
    expect(printed(await heard())).toEqual([
      `    [NEW] tcp      6 120 SYN_SENT ${forward} [UNREPLIED] ${back}`,
      ` [UPDATE] tcp      6 60 SYN_RECV ${forward} ${back}`,
      ` [UPDATE] tcp      6 432000 ESTABLISHED ${forward} ${back} [ASSURED]`,
      ` [UPDATE] tcp      6 120 FIN_WAIT ${forward} ${back} [ASSURED]`,
      ` [UPDATE] tcp      6 30 LAST_ACK ${forward} ${back} [ASSURED]`,
      ` [UPDATE] tcp      6 120 TIME_WAIT ${forward} ${back} [ASSURED]`,
      `[DESTROY] tcp      6 TIME_WAIT ${forward} packets=5 bytes=201 ${back} packets=3 bytes=120 [ASSURED]`,
    ])
  })

  it('tell a reset', async () => {
    const { gateway, heard } = setUp()
    gateway.fromLan(buildTcp({ ...TCP, flags: SYN, sequence: 100 }))
    gateway.fromWan(buildTcp({ ...TCP_BACK, flags: SYN | ACK, sequence: 500, acknowledgment: 101 }))
    gateway.fromLan(buildTcp({ ...TCP, flags: ACK, sequence: 101, acknowledgment: 501 }))
    gateway.fromWan(buildTcp({ ...TCP_BACK, flags: RST | ACK, sequence: 501, acknowledgment: 101 }))
    gateway.advance(1000)
    expect(kinds(printed(await heard()))).toEqual([
      '[NEW] tcp 6 120 SYN_SENT', '[UPDATE] tcp 6 60 SYN_RECV', '[UPDATE] tcp 6 432000 ESTABLISHED', '[UPDATE] tcp 6 10 CLOSE', '[DESTROY] tcp 6 CLOSE',
    ])
  })

  it('tell a refusal, which ends the flow at once', async () => {
    const { gateway, heard } = setUp()
    gateway.fromLan(buildTcp({ ...TCP, flags: SYN, sequence: 100 }))
    gateway.fromWan(buildTcp({ ...TCP_BACK, flags: RST | ACK, acknowledgment: 101 }))
    expect(kinds(printed(await heard()))).toEqual(['[NEW] tcp 6 120 SYN_SENT', '[DESTROY] tcp 6 10 CLOSE'])
  })

  it('CT-3: tell pings with type, code and id', async () => {
    const { gateway, heard } = setUp()
    gateway.fromLan(buildIcmpEcho({ source: A, destination: P, identifier: 7 }))
    const id = gateway.toWan()[0]!.bytes.subarray(24, 26).reduce((high, low) => high * 256 + low)
    for (const sequence of [1, 2]) gateway.fromWan(buildIcmpEcho({ source: P, destination: E, identifier: id, reply: true, sequence }))
    const forward = 'src=10.0.0.2 dst=198.51.100.10 type=8 code=0 id=7'
    const back = `src=198.51.100.10 dst=203.0.113.1 type=0 code=0 id=${id}`
    expect(printed(await heard())).toEqual([`    [NEW] icmp     1 30 ${forward} [UNREPLIED] ${back}`, ` [UPDATE] icmp     1 30 ${forward} ${back}`])
  })

  it('say nothing of packets that change nothing', async () => {
    const { gateway, heard } = setUp()
    gateway.fromLan(buildUdp(UDP)).fromWan(buildUdp(UDP_BACK))
    for (let packet = 0; packet < 10; packet++) gateway.fromLan(buildUdp(UDP)).fromWan(buildUdp(UDP_BACK))
    expect(kinds(printed(await heard())).map((line) => line.split(' ')[0])).toEqual(['[NEW]', '[UPDATE]'])
  })

  it('tell deletion on request, with the timeout that was left and who did it', async () => {
    const { gateway, heard } = setUp()
    gateway.fromLan(buildUdp(UDP))
    gateway.advance(10)
    const { table } = gateway.plane
    expect(gateway.plane.nat.closeFlows(Int32Array.of(0, table.generationOf(0)))).toHaveLength(2)
    gateway.fromLan(buildUdp({ ...UDP, sourcePort: 5001 }))
    gateway.advance(100)
    const lines = printed(await heard())
    const counted = 'packets=1 bytes=28 [UNREPLIED] src=198.51.100.10 dst=203.0.113.1 sport=53'
    expect(lines[1]).toBe(`[DESTROY] udp      17 20 src=10.0.0.2 dst=198.51.100.10 sport=5000 dport=53 ${counted} dport=5000 packets=0 bytes=0 [USERSPACE] portid=${process.pid}`)
    expect(lines[3]).toBe(`[DESTROY] udp      17 src=10.0.0.2 dst=198.51.100.10 sport=5001 dport=53 ${counted} dport=5001 packets=0 bytes=0`)
  })

  it('tell the end of flows whose address is gone', async () => {
    const { gateway, heard } = setUp()
    gateway.fromLan(buildUdp(UDP))
    gateway.setWan(0, { up: true, mtu: 1500, addresses: [ip('203.0.113.2')], routes: [] })
    expect(kinds(printed(await heard()))).toEqual(['[NEW] udp 17 30', '[DESTROY] udp 17 30'])
  })

  it('have one identity from the first to the last', async () => {
    const { gateway, heard } = setUp()
    for (let flow = 0; flow < 2; flow++) {
      gateway.fromLan(buildUdp(UDP)).fromWan(buildUdp(UDP_BACK))
      gateway.advance(1000)
    }
    const ids = (await heard()).map((event) => (event.type === 'lost' ? '' : event.flow.id))
    expect(new Set(ids.slice(0, 3)).size).toBe(1)
    expect(new Set(ids.slice(3)).size).toBe(1)
    expect(ids[0]).not.toBe(ids[3])
  })

  it('CT-4: never mention a flow of which no packet has left', async () => {
    const options: MemoryGatewayOptions = { ...LINUX, neighbours: true }
    const { gateway, heard } = setUp(options)
    gateway.fromLan(buildUdp(UDP))
    gateway.plane.failNeighbour(0, ip(P), gateway.now)
    expect(gateway.flows).toBe(0)
    expect(await heard()).toEqual([])
  })

  it('CT-4: mention a flow once the packet that waited for its next hop has left', async () => {
    const { gateway, heard } = setUp({ ...LINUX, neighbours: true })
    gateway.fromLan(buildUdp(UDP)).fromLan(buildUdp(UDP))
    gateway.advance(1)
    gateway.plane.learnNeighbour(0, ip(P), 0x0242, 5)
    expect(gateway.toWan()).toHaveLength(2)
    const events = await heard()
    expect(events.map((event) => event.type)).toEqual(['new'])
    expect(events[0]).toMatchObject({ time: gateway.now })
  })

  it('are not written while nobody listens', async () => {
    const gateway = new MemoryGateway(LINUX)
    gateway.fromLan(buildUdp(UDP))
    const heard = follow(gateway, LINUX)
    gateway.fromWan(buildUdp(UDP_BACK))
    expect((await heard()).map(({ type }) => type)).toEqual(['update'])
    gateway.fromLan(buildUdp({ ...UDP, source: B }))
    expect(await follow(gateway, LINUX)()).toEqual([])
  })

  it('that do not fit are counted and told', async () => {
    const options: MemoryGatewayOptions = { ...LINUX, limits: { flows: 4096 } }
    const { gateway, heard } = setUp(options)
    for (let port = 1; port <= 1030; port++) gateway.fromLan(buildUdp({ ...UDP, destination: Q, sourcePort: port }))
    const events = await heard()
    expect(events).toHaveLength(1025)
    expect(events.at(-1)).toEqual({ type: 'lost', count: 6 })
  })
})
