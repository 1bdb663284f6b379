/**
 * examples/intercept.mjs between real hosts.
 *
 *     client 192.168.1.2 ── eth1 192.168.1.1  gateway  eth0 203.0.113.1 ── 203.0.113.9 upstream, 198.51.100.10
 */
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { Asker, Scenario, serveTeller, sourceOf } from './support.js'

const PROGRAM = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..', 'examples', 'intercept.mjs')
const SERVER = '198.51.100.10'
const CLIENT = '192.168.1.2'
const WAN = '203.0.113.1'

it.each([[[], WAN], [['--as-client'], CLIENT]])('S7: examples/intercept.mjs %s: the server sees %s', async (options, seen) => {
  const bed = await Scenario.create()
  try {
    const client = await bed.host('client', `${CLIENT}/24`, 'eth1', '192.168.1.1/24')
    await client.route('default', '192.168.1.1')
    const server = await bed.host('upstream', '203.0.113.9/24', 'eth0', `${WAN}/24`)
    await bed.gateway.route('default', '203.0.113.9')
    await bed.ip(server, `addr add ${SERVER}/32 dev lo`)
    await server.route('192.168.1.0/24', WAN)
    await serveTeller(server, 80, SERVER)
    const program = bed.gateway.spawn(process.execPath, [PROGRAM, 'eth0', 'eth1', ...options], { env: bed.environment })
    await program.waitFor(/^ready$/m, 20_000)
    const asker = new Asker(client)
    const answer = await asker.ask({ protocol: 'tcp', host: SERVER, port: 80 })
    expect(sourceOf(answer).address).toBe(seen)
    expect(program.stdout).toContain(`${CLIENT}:${answer.port} to ${SERVER}:80`)
    program.kill('SIGTERM')
    expect((await program.done).code).toBe(0)
  } finally {
    await bed.close()
  }
})
