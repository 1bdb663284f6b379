/** A STUN server with two addresses and two ports, as the discovery of NAT behaviour needs it (RFC 5780 6): coturn. */
import { join } from 'node:path'
import type { Lab, LabNamespace } from '../../src/testing/lab/index.js'

export const STUN = '198.51.100.10'
export const STUN_ALTERNATE = '198.51.100.11'
export const STUN_PORT = 3478
export const STUN_ALTERNATE_PORT = 3479

/** Starts coturn in a namespace, whose interface `device` gets both addresses; resolves when it answers at each of its endpoints. */
export const startCoturn = async (lab: Lab, where: LabNamespace, device: string): Promise<void> => {
  const directory = lab.temporaryDirectory()
  for (const address of [STUN, STUN_ALTERNATE]) await where.address(device, `${address}/32`)
  const server = where.spawn('turnserver', [
    '-n', '--stun-only', '--no-cli', '--no-tls', '--no-dtls', '--no-tcp', '--log-file=stdout', '--simple-log',
    `--pidfile=${join(directory, 'pid')}`, `--userdb=${join(directory, 'users')}`,
    '--listening-ip', STUN, '--listening-ip', STUN_ALTERNATE,
    '--listening-port', String(STUN_PORT), '--alt-listening-port', String(STUN_ALTERNATE_PORT),
  ])
  const endpoints = [STUN, STUN_ALTERNATE].flatMap((address) => [STUN_PORT, STUN_ALTERNATE_PORT].map((port) => `-p ${port} ${address}`))
  const all = endpoints.map((endpoint) => `turnutils_stunclient ${endpoint} | grep -q 'reflexive addr'`).join(' && ')
  await Promise.race([
    where.run('sh', ['-c', `until ss -lun | grep -q '${STUN_ALTERNATE}:${STUN_ALTERNATE_PORT} '; do sleep 0.05; done; ${all}`], { timeout: 20_000, check: true }),
    server.done.then(() => Promise.reject(server.failure('ended'))),
  ])
}
