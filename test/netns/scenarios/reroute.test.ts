/**
 * The source chosen after a reroute (scenario S3), by sockets of the gateway's own, and beside it what the host's kernel does.
 *
 *     gateway  eth0 10.0.0.1 ── 10.0.0.254 ┬ providers, with the server 198.51.100.10
 *              eth1 10.1.0.1 ── 10.1.0.254 ┘
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { LabNamespace } from '../../../src/testing/lab/index.js'
import { until } from '../gateway-support.js'
import { Scenario, serveTeller } from './support.js'
import { SocketsProgram } from './sockets-program.js'

const SERVER = '198.51.100.10'
const FIRST = '10.0.0.1'
const SECOND = '10.1.0.1'
const ROUTES = ['ip rule add fwmark 100 table vtab', 'ip route add 0.0.0.0/0 via 10.1.0.254 src 10.1.0.1 table vtab']
const MARK = `iptables -t mangle -A OUTPUT -d ${SERVER} -j MARK --set-mark 100`

let bed: Scenario
let server: LabNamespace
beforeEach(async () => {
  bed = await Scenario.create()
  server = await bed.host('providers', '10.0.0.254/24', 'eth0', `${FIRST}/24`)
  await bed.lab.link(server, { name: 'eth1', address: '10.1.0.254/24' }, bed.gateway, { name: 'eth1', address: `${SECOND}/24` })
  server.sysctl('net.ipv4.conf.all.rp_filter', 0)
  await bed.ip(server, `addr add ${SERVER}/32 dev lo`)
  await bed.ip(bed.gateway, 'route add 0.0.0.0/0 via 10.0.0.254 src 10.0.0.1')
  await serveTeller(server, 80, SERVER)
})
afterEach(async () => {
  await bed.close()
})

/** Lines of a capture without what comes back. */
const outgoing = async (capture: { packets(filter: string): Promise<string[]> }): Promise<string[]> => capture.packets(`dst host ${SERVER}`)

describe('S3: sockets of tsnat', () => {
  let program: SocketsProgram
  beforeEach(async () => {
    program = await SocketsProgram.start(bed, { wan: ['eth0', 'eth1'], capture: 'none' })
    await bed.typed('tsnat ip route add 0.0.0.0/0 via 10.1.0.254 src 10.1.0.1 table 200')
    await bed.typed('tsnat ip rule add fwmark 100 table 200')
    await bed.typed(`tsnat ${MARK}`)
  })

  it('MGL-1: TCP, UDP connected and not, and ICMP leave by the second provider with its address; the flow table stays empty', async () => {
    const [first, second] = [await bed.capture(server), await bed.capture(server, 'eth1')]
    const tcp = await program.ask({ do: 'tcp', host: SERVER, port: 80 })
    expect(tcp.local).toMatch(new RegExp(`^${SECOND}:`))
    expect(tcp.seen).toBe(`${tcp.local!.replace(':', ' ')} ${SERVER} 80`)
    for (const connected of [false, true]) {
      const udp = await program.ask({ do: 'udp', host: SERVER, port: 80, connected })
      expect(udp.seen).toMatch(new RegExp(`^${SECOND} \\d+ ${SERVER} 80$`))
      if (connected) expect(udp.local).toMatch(new RegExp(`^${SECOND}:`))
    }
    expect(await program.ask({ do: 'ping', host: SERVER })).toEqual({ seen: 'hello', from: SERVER })
    await until(async () => (await second.packets('icmp')).length >= 2)
    expect(await outgoing(first)).toEqual([])
    const left = await outgoing(second)
    for (const kind of ['Flags [S]', 'UDP', 'ICMP echo request']) expect(left.filter((line) => line.includes(kind))).not.toEqual([])
    expect(left.every((line) => line.includes(` ${SECOND}`))).toBe(true)
    expect(await bed.flows()).toEqual([])
    expect(await bed.typed('tsnat iptables-save -t nat')).not.toContain('-A ')
    expect((await bed.status()).drops).toEqual({})
  })

  it('what is not marked leaves by the first, and so does a socket bound to its address, if only by that address', async () => {
    await bed.typed('tsnat iptables -t mangle -F OUTPUT')
    const plain = await program.ask({ do: 'tcp', host: SERVER, port: 80 })
    expect(plain.local).toMatch(new RegExp(`^${FIRST}:`))
    await bed.typed(`tsnat ${MARK}`)
    const second = await bed.capture(server, 'eth1')
    const bound = await program.ask({ do: 'tcp', host: SERVER, port: 80, localAddress: FIRST })
    expect(bound.local).toMatch(new RegExp(`^${FIRST}:`))
    expect(bound.seen).toBe(`${bound.local!.replace(':', ' ')} ${SERVER} 80`)
    // It takes the way that the mark says, with the address that its program said.
    await until(async () => (await second.packets(`src host ${FIRST} and tcp`)).length > 0)
  })

  it('MGL-1: a change of TOS or of the destination in OUTPUT reroutes, too', async () => {
    await bed.typed('tsnat iptables -t mangle -F OUTPUT')
    await bed.typed('tsnat iptables -t mangle -A OUTPUT -p tcp -j TOS --set-tos 0x10')
    await bed.typed('tsnat ip rule add tos 0x10 table 200')
    expect((await program.ask({ do: 'tcp', host: SERVER, port: 80 })).local).toMatch(new RegExp(`^${SECOND}:`))
    await bed.typed('tsnat iptables -t mangle -F OUTPUT')
    await bed.typed(`tsnat iptables -t nat -A OUTPUT -d 192.0.2.1 -p tcp -j DNAT --to-destination ${SERVER}`)
    await bed.typed(`tsnat ip route add ${SERVER} via 10.1.0.254 src 10.1.0.1`)
    const moved = await program.ask({ do: 'tcp', host: '192.0.2.1', port: 80 })
    expect(moved.local).toMatch(new RegExp(`^${SECOND}:`))
    expect(moved.seen).toBe(`${moved.local!.replace(':', ' ')} ${SERVER} 80`)
  })
})

it('S3: the kernel, with the same commands, sends by the second provider with the address of the first', async () => {
  for (const line of ROUTES) await bed.typed(line.replaceAll('vtab', '200'))
  await bed.typed(MARK)
  const second = await bed.capture(server, 'eth1')
  const asked = bed.gateway.spawn('nc', ['-w', '2', SERVER, '80'])
  await until(async () => (await second.packets('tcp[tcpflags] & tcp-syn != 0')).length > 0)
  expect((await outgoing(second)).every((line) => line.includes(` ${FIRST}.`))).toBe(true)
  asked.kill()
})
