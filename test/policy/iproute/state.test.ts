import { describe, expect, it } from 'vitest'
import { allRoutes, builtInNames, initialState, tableNames, withDevices, withTables } from '../../../src/policy/iproute/index.js'
import type { IpState } from '../../../src/policy/iproute/index.js'
import { after, devices, fresh, ip } from './support.js'

const main = (state: IpState): string => ip(state, 'route').output
const without = (name: string) => devices.filter((device) => device.name !== name)
const down = (name: string) => devices.map((device) => (device.name === name ? { ...device, up: false } : device))

describe('withDevices', () => {
  it('drops routes to an interface that is gone, also those of several next hops', () => {
    const state = after(fresh(), 'route add 5/8 dev eth1', 'route add 6/8 nexthop via 10.0.0.254 nexthop via 10.1.0.254', 'route add 7/8 via 10.0.0.254')
    const { state: changed, changes } = withDevices(state, without('eth1'))
    expect(main(changed).split('\n').map((line) => line.split(' ')[0])).toEqual(['1.2.3.0/24', '7.0.0.0/8', '10.0.0.0/24', '192.168.7.0/24', ''])
    expect(changes.routes.map(({ length, routes }) => [length, routes.length])).toEqual(expect.arrayContaining([[8, 0], [24, 0], [32, 0]]))
    expect(changes.rules).toBe(false)
  })

  it('keeps routes to an interface that is down, as dead ones', () => {
    const state = after(fresh(), 'route add 5/8 via 10.1.0.254', 'route add 6/8 nexthop via 10.0.0.254 nexthop via 10.1.0.254')
    const { state: changed } = withDevices(state, down('eth1'))
    expect(main(changed)).toContain('5.0.0.0/8 via 10.1.0.254 dev eth1 dead linkdown \n')
    expect(main(changed)).toContain('\tnexthop via 10.1.0.254 dev eth1 weight 1 dead linkdown \n')
    expect(main(changed)).not.toContain('10.1.0.0/24')
    expect(ip(changed, 'route get 5.5.5.5').exitCode).toBe(2)
    expect(ip(changed, 'route get 6.6.6.6').output).toContain('via 10.0.0.254')
    expect(ip(changed, 'route add 8/8 dev eth1').errors[0]!.message).toBe('Error: Device for nexthop is not up.')
    expect(main(withDevices(changed, devices).state)).toBe(main(state))
  })

  it('takes addresses that come and go, and leaves alone what did not change', () => {
    const state = after(fresh(), 'route del 10.0.0.0/24')
    const moved = devices.map((device) => (device.name === 'tun0' ? { ...device, addresses: [{ address: 0x0a4d0001, prefixLength: 24, primary: true }] } : device))
    const { state: changed, changes } = withDevices(state, moved)
    expect(main(changed)).toBe('1.2.3.0/24 dev eth0 proto kernel scope link src 1.2.3.56 \n10.1.0.0/24 dev eth1 proto kernel scope link src 10.1.0.1 \n10.77.0.0/24 dev tun0 proto kernel scope link src 10.77.0.1 \n')
    expect(changes.routes).toHaveLength(6)
    expect(withDevices(changed, moved).changes).toEqual({ routes: [], rules: false })
  })
})

it('gives a new data plane everything', () => {
  const state = after(fresh(), 'route add 5/8 via 10.0.0.254 table 77')
  const prefixes = allRoutes(state)
  expect(prefixes).toHaveLength(state.prefixes)
  expect(prefixes.filter(({ table }) => table === 77)).toMatchObject([{ destination: 5 << 24, length: 8, routes: [{ metric: 0 }] }])
})

describe('names of tables', () => {
  it('come from a file, and stand where numbers do', () => {
    const names = withTables(builtInNames, tableNames('# mine\n100\tvtab\n\n0x65 other # hex\n'))
    const state = after(initialState(devices, names), 'route add default via 10.1.0.254 table vtab', 'rule add fwmark 100 table vtab', 'rule add fwmark 101 table 101')
    expect(ip(state, 'rule').output).toContain('fwmark 0x64 lookup vtab\n')
    expect(ip(state, 'rule').output).toContain('fwmark 0x65 lookup other\n')
    expect(ip(state, 'route show table all').output).toContain('default via 10.1.0.254 dev eth1 table vtab \n')
    expect(ip(state, '-N rule').output).toContain('lookup 100\n')
  })

  it('tell the place of a bad line', () => {
    expect(() => tableNames('1 one\nvtab 100\n')).toThrow('"vtab 100" is not a table\'s number and name')
    expect(() => tableNames('4294967296 big')).toThrow(expect.objectContaining({ word: { text: '4294967296 big', line: 1, column: 1 } }))
  })
})
