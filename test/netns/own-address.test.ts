/** Pings from inside to the gateway's own outside address. */
import { afterEach, expect, it } from 'vitest'
import { Bed, GATEWAY, requests, SERVER } from '../interop/support.js'

const OWNED = '203.0.113.50'
let bed: Bed
afterEach(async () => {
  await bed.close()
})

it.each([
  ['inside', GATEWAY, []],
  ['inside', OWNED, ['--wan-address', `owned:${OWNED}/24`]],
  ['router', GATEWAY, []],
  ['router', OWNED, ['--wan-address', `owned:${OWNED}/24`]],
] as const)('RTR-8: are answered once each, however big: %s, %s', async (lan, address, flags) => {
  bed = await Bed.build(['ping'], { lan })
  await bed.up(...flags)
  for (const bytes of [56, 1472, 1473, 3000, 20_000]) {
    const { stdout } = await bed.client.run('ping', [...requests(3), '-s', String(bytes), address])
    expect(stdout).toMatch(/3 packets transmitted, 3 received, 0% packet loss/)
    expect(stdout).toMatch(new RegExp(`^${bytes + 8} bytes from ${address}: icmp_seq=1 ttl=6[34] `, 'm'))
  }
  // Nobody else is there, and the outside is reached as ever.
  const { stdout } = await bed.client.run('ping', [...requests(2), SERVER])
  expect(stdout).toContain('2 received')
  expect((await bed.status()).drops).toEqual({})
  await bed.stop()
})
