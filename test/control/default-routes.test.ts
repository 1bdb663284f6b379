import { describe, expect, it } from 'vitest'
import { defaultRoutes } from '../../src/control/default-routes.js'
import type { DefaultWan } from '../../src/control/default-routes.js'
import type { RouteInfo } from '../../src/route/types.js'
import { Origin, RouteType, Scope } from '../../src/route/types.js'
import { formatIpv4, parseIpv4 } from '../../src/stack/wire/address.js'

const ip = (text: string): number => parseIpv4(text)!

/** Interface `number` has 10.NUMBER.0.1/24. */
const wan = (number: number, more: Partial<DefaultWan> = {}): DefaultWan =>
  ({ number, addresses: [{ address: ip(`10.${number}.0.1`), prefixLength: 24, primary: true }], gateway: null, weight: null, metric: null, ...more })

const by = (metric: number, ...numbers: number[]): RouteInfo => ({
  type: RouteType.unicast, tos: 0, metric, scope: Scope.global, origin: Origin.boot, source: 0, mtu: 0, mtuLocked: false,
  hops: numbers.map((device) => ({ gateway: ip(`10.${device}.0.254`), device, weight: 1, onlink: false, ownGateway: false })),
})

const shown = (wans: readonly DefaultWan[], ...kernel: RouteInfo[]): string[] =>
  defaultRoutes(wans, kernel, false).map(({ metric, hops }) =>
    `${metric}: ${hops.map(({ device, gateway, weight, onlink }) => `${formatIpv4(gateway!)}@${device}x${weight}${onlink ? ' onlink' : ''}`).join(' ')}`)

describe('default routes of the kernel', () => {
  it('stay as they are while nothing is configured', () => {
    const kernel = [by(100, 4), by(200, 3), by(300, 3, 4)]
    expect(defaultRoutes([wan(3), wan(4)], kernel, false)).toEqual(kernel)
    expect(shown([wan(3)])).toEqual([])
  })

  it('are tried in the order of the WANs when their metrics are the same', () => {
    expect(shown([wan(3), wan(4)], by(0, 4), by(0, 3))).toEqual(['0: 10.3.0.254@3x1', '0: 10.4.0.254@4x1'])
    expect(defaultRoutes([wan(3), wan(4)], [by(0, 4), by(0, 3)], true)).toEqual([by(0, 4), by(0, 3)])
  })
})

describe('configured default routes', () => {
  it('go by a gateway, on the link when no subnet of the WAN holds it', () => {
    expect(shown([wan(3, { gateway: ip('10.3.0.9') })], by(0, 3))).toEqual(['0: 10.3.0.9@3x1'])
    expect(shown([wan(3, { gateway: ip('192.0.2.1') })])).toEqual(['0: 192.0.2.1@3x1 onlink'])
    expect(defaultRoutes([wan(3, { gateway: ip('192.0.2.1') })], [], false)[0]).toMatchObject({ origin: Origin.static, source: 0 })
  })

  it('take the metric of the route that they replace, or come behind the WANs before', () => {
    expect(shown([wan(3), wan(4, { gateway: ip('10.4.0.9') })], by(100, 3), by(50, 4))).toEqual(['50: 10.4.0.9@4x1', '100: 10.3.0.254@3x1'])
    expect(shown([wan(3), wan(4, { gateway: ip('10.4.0.9') })], by(100, 3))).toEqual(['100: 10.3.0.254@3x1', '101: 10.4.0.9@4x1'])
    expect(shown([wan(3, { gateway: ip('10.3.0.9') }), wan(4, { gateway: ip('10.4.0.9') })])).toEqual(['0: 10.3.0.9@3x1', '1: 10.4.0.9@4x1'])
  })

  it('have the metric of their WAN, and keep their distance to one another', () => {
    expect(shown([wan(3, { metric: 20 }), wan(4, { metric: 10 })], by(0, 3), by(5, 3), by(0, 4))).toEqual([
      '10: 10.4.0.254@4x1', '20: 10.3.0.254@3x1', '25: 10.3.0.254@3x1',
    ])
  })

  it('are one over several WANs when these have weights', () => {
    expect(shown([wan(3, { weight: 3 }), wan(4, { weight: 1 })], by(100, 3), by(50, 4))).toEqual(['50: 10.3.0.254@3x3 10.4.0.254@4x1'])
    expect(shown([wan(3, { weight: 3 }), wan(4, { gateway: ip('10.4.0.9') })], by(100, 3))).toEqual(['100: 10.3.0.254@3x3 10.4.0.9@4x1'])
    expect(shown([wan(3, { weight: 3 }), wan(4)], by(0, 3, 4))).toEqual(['0: 10.3.0.254@3x3 10.4.0.254@4x1'])
  })

  it('leave a WAN with a metric and no weight to itself, and one without a route out', () => {
    expect(shown([wan(3, { weight: 3 }), wan(4, { weight: 1 }), wan(5, { metric: 1000 })], by(0, 3), by(0, 4), by(0, 5))).toEqual([
      '0: 10.3.0.254@3x3 10.4.0.254@4x1', '1000: 10.5.0.254@5x1',
    ])
    expect(shown([wan(3, { weight: 3 }), wan(4, { weight: 1 })], by(7, 4), by(8, 4))).toEqual(['7: 10.4.0.254@4x1', '8: 10.4.0.254@4x1'])
  })
})
