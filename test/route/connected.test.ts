import { describe, expect, it } from 'vitest'
import type { Device } from '../../src/route/connected.js'
import { connectedRoutes, sourceFor } from '../../src/route/connected.js'
import { RouteType, Scope } from '../../src/route/types.js'
import { formatIpv4, formatPrefix, parsePrefix } from '../../src/stack/wire/address.js'
import { ip } from './support.js'

const own = (text: string, primary = true, peer?: string) => {
  const { address, length } = parsePrefix(text)!
  return { address, prefixLength: length, primary, ...(peer === undefined ? {} : { peer: ip(peer) }) }
}
const device = (number: number, name: string, addresses: Device['addresses'], up = true): Device => ({ number, name, up, addresses })
const words = new Map<number, string>([[RouteType.unicast, 'unicast'], [RouteType.local, 'local'], [RouteType.broadcast, 'broadcast']])

const textOf = (devices: readonly Device[]): string[] => connectedRoutes(devices).flatMap(({ table, destination, length, routes }) => routes.map(({ type, source, scope, hops }) =>
  `${words.get(type)!} ${formatPrefix(destination, length)} dev ${hops[0]!.device} table ${table} scope ${scope} src ${formatIpv4(source)}`))

describe('connectedRoutes', () => {
  it('has the host itself, the subnet, and its broadcast address', () => {
    expect(textOf([device(2, 'eth0', [own('10.0.0.1/24')])])).toEqual([
      `local 10.0.0.1/32 dev 2 table 255 scope ${Scope.host} src 10.0.0.1`, `unicast 10.0.0.0/24 dev 2 table 254 scope ${Scope.link} src 10.0.0.1`,
      `broadcast 10.0.0.255/32 dev 2 table 255 scope ${Scope.link} src 10.0.0.1`,
    ])
  })

  it('has secondary addresses as the host itself only', () => {
    expect(textOf([device(2, 'eth0', [own('10.0.0.1/24'), own('10.0.0.9/24', false)])]).filter((line) => line.includes('10.0.0.9'))).toEqual([
      `local 10.0.0.9/32 dev 2 table 255 scope ${Scope.host} src 10.0.0.1`,
    ])
  })

  it('has all of 127.0.0.0/8 as the host itself', () => {
    expect(textOf([device(1, 'lo', [own('127.0.0.1/8')])])).toContain(`local 127.0.0.0/8 dev 1 table 255 scope ${Scope.host} src 127.0.0.1`)
  })

  it.each([['10.0.0.0/31', 1], ['10.0.0.1/32', 0]])('knows no broadcast address in %s', (prefix, subnets) => {
    const lines = textOf([device(2, 'eth0', [own(prefix)])])
    expect(lines.filter((line) => line.startsWith('broadcast'))).toEqual([])
    expect(lines.filter((line) => line.startsWith('unicast'))).toHaveLength(subnets)
  })

  it('has the other end of a point-to-point link', () => {
    expect(textOf([device(2, 'ppp0', [own('10.0.0.1/32', true, '10.9.9.9')])])).toContain(`unicast 10.9.9.9/32 dev 2 table 254 scope ${Scope.link} src 10.0.0.1`)
  })

  it('has no subnet on an interface that is down', () => {
    expect(textOf([device(2, 'eth0', [own('10.0.0.1/24')], false)])).toEqual([`local 10.0.0.1/32 dev 2 table 255 scope ${Scope.host} src 10.0.0.1`])
  })

  it('has one prefix by two interfaces, the first of them first', () => {
    const routes = connectedRoutes([device(2, 'a', [own('10.0.0.1/24')]), device(3, 'b', [own('10.0.0.2/24')])])
    expect(routes.find(({ length }) => length === 24)!.routes.map(({ hops }) => hops[0]!.device)).toEqual([2, 3])
  })
})

describe('sourceFor', () => {
  const devices = [device(1, 'lo', [own('127.0.0.1/8')]), device(2, 'eth0', [own('10.0.0.1/24'), own('10.0.0.9/24', false), own('1.2.3.56/24')]), device(3, 'tun0', [])]
  const sourceOf = (number: number, gateway: string | null, scope: number): string => formatIpv4(sourceFor(devices, number, gateway === null ? null : ip(gateway), scope))

  it('takes the primary address in whose subnet the gateway is, else the first', () => {
    expect(sourceOf(2, '1.2.3.4', Scope.global)).toBe('1.2.3.56')
    expect(sourceOf(2, '9.9.9.9', Scope.global)).toBe('10.0.0.1')
    expect(sourceOf(2, null, Scope.link)).toBe('10.0.0.1')
  })

  it('takes another interface\'s when there is none, and the loopback\'s only for this host', () => {
    expect(sourceOf(3, null, Scope.link)).toBe('10.0.0.1')
    expect(sourceOf(1, null, Scope.link)).toBe('10.0.0.1')
    expect(sourceOf(1, null, Scope.host)).toBe('127.0.0.1')
    expect(sourceFor([devices[2]!], 3, null, Scope.link)).toBe(0)
  })
})
