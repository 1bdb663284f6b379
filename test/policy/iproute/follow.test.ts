import { describe, expect, it } from 'vitest'
import { initialState, withFollowed } from '../../../src/policy/iproute/index.js'
import type { IpState } from '../../../src/policy/iproute/index.js'
import { connectedRoutes } from '../../../src/route/connected.js'
import type { PrefixRoutes } from '../../../src/route/types.js'
import { Table } from '../../../src/route/types.js'
import { after, devices, ip } from './support.js'

/** What another side has after these commands. */
const routesOf = (...commands: string[]): readonly PrefixRoutes[] => {
  const { tables } = after(initialState(devices), ...commands)
  return [Table.local, Table.main].flatMap((table) => [...tables.get(table)!.all()].map((entry) => ({ table, ...entry })))
}

const connected = connectedRoutes(devices)
const start = (...commands: string[]): { state: IpState; routes: readonly PrefixRoutes[] } => {
  const routes = routesOf(...commands)
  return { state: withFollowed(initialState([]), devices, [], routes).state, routes }
}
const main = (state: IpState): string => ip(state, 'route').output

const DEFAULT = 'route add default via 10.0.0.254 metric 100'
const NETWORK = 'route add 7/8 via 10.1.0.254'

describe('withFollowed', () => {
  it('begins with all that is followed', () => {
    const { state } = start(DEFAULT, NETWORK)
    expect(main(state)).toBe(main(after(initialState(devices), DEFAULT, NETWORK)))
    expect(withFollowed(initialState([]), devices, [], connected).state.prefixes).toBe(initialState(devices).prefixes)
  })

  it('gives the data plane only what changed', () => {
    const { state, routes } = start(DEFAULT, NETWORK)
    const changed = withFollowed(state, devices, routes, routesOf(DEFAULT))
    expect(changed.changes).toEqual({ routes: [{ table: Table.main, destination: 7 << 24, length: 8, routes: [] }], rules: false })
    expect(withFollowed(changed.state, devices, routesOf(DEFAULT), routesOf(DEFAULT)).changes.routes).toEqual([])
  })

  it('keeps routes that were added here', () => {
    const { state, routes } = start(DEFAULT)
    const edited = after(state, 'route add 9/8 via 10.1.0.254', 'route add default via 10.1.0.254')
    const { state: changed } = withFollowed(edited, devices, routes, routesOf(NETWORK))
    expect(main(changed).split('\n').filter((line) => line.includes('via'))).toEqual([
      'default via 10.1.0.254 dev eth1 ', '7.0.0.0/8 via 10.1.0.254 dev eth1 ', '9.0.0.0/8 via 10.1.0.254 dev eth1 ',
    ])
  })

  it('lets a route that was deleted here stay away until it changes there', () => {
    const { state, routes } = start(DEFAULT, NETWORK)
    const edited = after(state, 'route del 7/8', 'route del default')
    const same = withFollowed(edited, devices, routes, [...routesOf(DEFAULT, NETWORK, 'route add 8/8 dev eth0')])
    expect(main(same.state)).not.toContain('7.0.0.0/8')
    expect(main(same.state)).toContain('8.0.0.0/8')
    const { state: changed } = withFollowed(same.state, devices, routes, routesOf(DEFAULT, 'route add 7/8 via 10.1.0.253'))
    expect(main(changed)).toContain('7.0.0.0/8 via 10.1.0.253')
    expect(main(changed)).not.toContain('default')
  })

  it('lets a route that was replaced here stand before what comes from there', () => {
    const { state, routes } = start(NETWORK)
    const edited = after(state, 'route replace 7/8 via 10.0.0.254')
    const { state: changed } = withFollowed(edited, devices, routes, routesOf('route add 7/8 via 10.1.0.253', 'route add 7/8 via 10.1.0.252 metric 5'))
    expect(main(changed).split('\n').filter((line) => line.startsWith('7.'))).toEqual([
      '7.0.0.0/8 via 10.0.0.254 dev eth0 ', '7.0.0.0/8 via 10.1.0.253 dev eth1 ', '7.0.0.0/8 via 10.1.0.252 dev eth1 metric 5 ',
    ])
    expect(ip(changed, 'route get 7.7.7.7').output).toContain('via 10.0.0.254')
  })

  it('has routes of one metric in the order of the other side', () => {
    const { state, routes } = start('route add 7/8 dev eth1')
    const { state: changed } = withFollowed(state, devices, routes, routesOf('route add 7/8 dev eth1', 'route prepend 7/8 dev eth0'))
    expect(main(changed).split('\n').filter((line) => line.startsWith('7.'))).toEqual(['7.0.0.0/8 dev eth0 scope link ', '7.0.0.0/8 dev eth1 scope link '])
  })

  it('drops routes to an interface that is gone', () => {
    const { state, routes } = start(NETWORK)
    const edited = after(state, 'route add 9/8 via 10.1.0.254')
    const left = devices.filter(({ name }) => name !== 'eth1')
    expect(main(withFollowed(edited, left, routes, connectedRoutes(left)).state)).not.toContain('eth1')
  })
})
