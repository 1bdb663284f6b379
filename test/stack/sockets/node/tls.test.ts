import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import { request } from 'node:https'
import type { IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { connect, createSecureContext, TLSSocket } from 'node:tls'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { closed, collect, connected, listening, pattern, RIGHT, useLinks } from './support.js'

describe('tls over the stack', () => {
  const pair = useLinks()
  let folder = ''
  let key = Buffer.alloc(0)
  let cert = Buffer.alloc(0)

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'tsnat-tls-'))
    const file = (name: string): string => join(folder, name)
    execFileSync('openssl', [
      'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', '/CN=server.test',
      '-addext', 'subjectAltName=DNS:server.test', '-keyout', file('key.pem'), '-out', file('cert.pem'),
    ], { stdio: 'ignore' })
    key = readFileSync(file('key.pem'))
    cert = readFileSync(file('cert.pem'))
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  it('encrypts a connection, and both sides end in order', async () => {
    const { client, server } = await connected(pair(), { allowHalfOpen: true }, { allowHalfOpen: true })
    const inner = new TLSSocket(server, { isServer: true, secureContext: createSecureContext({ key, cert }) })
    inner.pipe(inner)
    const secure = connect({ socket: client, servername: 'server.test', ca: cert })
    await once(secure, 'secureConnect')
    expect([secure.authorized, secure.getPeerCertificate().subject.CN]).toEqual([true, 'server.test'])
    const sent = pattern(3_000_000)
    secure.end(sent)
    expect((await collect(secure)).equals(sent)).toBe(true)
    await Promise.all([closed(client), closed(server)])
  }, 30_000)

  it('refuses a certificate that nobody vouches for', async () => {
    const { client, server } = await connected(pair())
    new TLSSocket(server, { isServer: true, secureContext: createSecureContext({ key, cert }) }).on('error', () => {})
    const secure = connect({ socket: client, servername: 'server.test' })
    const [error] = (await once(secure, 'error')) as [NodeJS.ErrnoException]
    expect(error.code).toBe('DEPTH_ZERO_SELF_SIGNED_CERT')
  })

  it('carries https', async () => {
    const both = pair()
    const http = createHttpServer((asked, answer) => answer.end(`secret ${asked.url}`))
    const listener = await listening(both.right, {}, 443)
    listener.on('connection', (socket) => {
      http.emit('connection', new TLSSocket(socket, { isServer: true, secureContext: createSecureContext({ key, cert }) }))
    })
    const socket = both.left.connect(443, RIGHT)
    const asked = request({ path: '/x', createConnection: () => connect({ socket, servername: 'server.test', ca: cert }) })
    asked.end()
    const [answer] = (await once(asked, 'response')) as [IncomingMessage]
    expect(await text(answer)).toBe('secret /x')
    http.close()
  })
})
