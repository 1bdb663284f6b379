/** A control socket for each test of a file, with a double of a gateway behind it, where `tsnat` looks for one. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, vi } from 'vitest'
import { defaultSocketPath } from '../../src/api/instance.js'
import { openControlServer, type ControlServer } from '../../src/api/server.js'
import { createGatewayDouble, type GatewayDouble } from '../api/gateway-double.js'

export interface ServedGateway {
  /** Anew for each test. */
  gateway: GatewayDouble
  server: ControlServer
  /** Errors of the control socket that are no fault of its clients; there must be none in the end. */
  bugs: unknown[]
  /** For files; empty at first but for what the control socket needs. */
  folder: string
}

/** To be called once, at the top of a test file. */
export const serveGateway = (): ServedGateway => {
  const served = {} as ServedGateway
  beforeEach(async () => {
    served.folder = mkdtempSync(join(tmpdir(), 'tsnat-cli-'))
    vi.stubEnv('TSNAT_RUN_DIR', join(served.folder, 'run'))
    served.gateway = createGatewayDouble()
    served.bugs = []
    served.server = await openControlServer({ name: 'default', path: defaultSocketPath('default'), onError: (error) => served.bugs.push(error) })
    served.server.attach(served.gateway)
  })
  afterEach(async () => {
    await served.server.close()
    vi.unstubAllEnvs()
    rmSync(served.folder, { recursive: true })
  })
  return served
}
