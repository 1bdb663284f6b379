import { expect, it } from 'vitest'
import { BoundPorts } from '../../src/control/bound-ports.js'
import type { HostPorts } from '../../src/host/ports.js'
import { SOCKET_FLAG } from '../../src/stack/sockets/socket-row.js'
import { SocketTable } from '../../src/stack/sockets/socket-table.js'
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../../src/stack/wire/ipv4.js'
import { ip } from '../stack/support.js'

it('only ports that others can reach become tsnat\'s: not those of loopback addresses, nor of addresses that are somebody else\'s', async () => {
  const table = new SocketTable(SocketTable.allocate(16))
  let told: HostPorts | null = null
  new BoundPorts(table.ports, (port) => port >= 40_000, async (ports) => { told = ports; await Promise.resolve() })
  const add = (localAddress: string, localPort: number, flags = 0): number =>
    table.add({ protocol: PROTOCOL_UDP, flags, localAddress: ip(localAddress), localPort, remoteAddress: 0, remotePort: 0, interface: 0, mark: 0, tos: 0 })
  add('0.0.0.0', 1000)
  const transparent = add('0.0.0.0', 1001, SOCKET_FLAG.transparent)
  add('203.0.113.1', 1002)
  add('127.0.0.1', 1003)
  add('192.0.2.80', 53, SOCKET_FLAG.transparent)
  add('0.0.0.0', 50_000)
  await Promise.resolve()
  const ranges = (): string[] => (told?.udp ?? []).map(({ first, last }) => `${first}-${last}`)
  expect(ranges()).toEqual(['1000-1002'])
  table.update(transparent, { localAddress: ip('192.0.2.80') })
  await Promise.resolve()
  expect(ranges()).toEqual(['1000-1000', '1002-1002'])
  table.remove(transparent)
  await Promise.resolve()
  expect(ranges()).toEqual(['1000-1000', '1002-1002'])
})

it('who has bound a port is called when that is heard, others at once', async () => {
  const table = new SocketTable(SocketTable.allocate(16))
  const hear: (() => void)[] = []
  const bound = new BoundPorts(table.ports, (port) => port >= 40_000, () => new Promise((resolve) => hear.push(resolve)))
  const row = { protocol: PROTOCOL_UDP, flags: 0, localAddress: 0, remoteAddress: 0, remotePort: 0, interface: 0, mark: 0, tos: 0 }
  const called: string[] = []
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
  table.add({ ...row, localPort: 50_000 })
  bound.onceHeard(() => called.push('at once'))
  expect(called).toEqual([])
  await turn()
  expect(called).toEqual(['at once'])
  table.add({ ...row, localPort: 1000 })
  bound.onceHeard(() => called.push('first'))
  await turn()
  table.add({ ...row, localPort: 1001 })
  bound.onceHeard(() => called.push('second'))
  await turn()
  expect([called.length, hear.length]).toEqual([1, 2])
  hear[0]!()
  await turn()
  expect(called).toEqual(['at once', 'first'])
  hear[1]!()
  await turn()
  bound.onceHeard(() => called.push('last'))
  await turn()
  expect(called).toEqual(['at once', 'first', 'second', 'last'])
})

it('a port stays as long as there are connections by it, also without their listener', async () => {
  const table = new SocketTable(SocketTable.allocate(16))
  let told: HostPorts | null = null
  new BoundPorts(table.ports, (port) => port >= 40_000, (ports) => {
    told = ports
    return Promise.resolve()
  })
  const row = { protocol: PROTOCOL_TCP, localPort: 8080, remoteAddress: 0, remotePort: 0, interface: 0, mark: 0, tos: 0 }
  const remote = { remoteAddress: ip('198.51.100.10'), remotePort: 4000 }
  const listener = table.add({ ...row, flags: SOCKET_FLAG.listening, localAddress: 0 })
  const accepted = table.add({ ...row, ...remote, flags: SOCKET_FLAG.connected, localAddress: ip('203.0.113.1') })
  // What TPROXY led here goes to somebody else's port.
  const foreign = table.add({ ...row, ...remote, flags: SOCKET_FLAG.connected | SOCKET_FLAG.transparent, localAddress: ip('192.0.2.80'), localPort: 80 })
  const dialled = table.add({ ...row, ...remote, flags: SOCKET_FLAG.connected, localAddress: 0, localPort: 4000 })
  const ports = async (): Promise<number[]> => {
    await Promise.resolve()
    return (told?.tcp ?? []).map(({ first }) => first)
  }
  expect(await ports()).toEqual([4000, 8080])
  table.remove(listener)
  table.update(dialled, { localAddress: ip('203.0.113.1') })
  expect(await ports()).toEqual([4000, 8080])
  for (const one of [accepted, foreign, dialled]) table.remove(one)
  expect(await ports()).toEqual([])
})
