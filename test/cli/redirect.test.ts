import { describe, expect, it } from 'vitest'
import { ExitCode, TsnatError } from '../../src/errors.js'
import { exampleRedirect } from '../api/gateway-double.js'
import { serveGateway } from './gateway.js'
import { tsnat } from './harness.js'

const served = serveGateway()

const COUNTS = [
  'TCP: 3 open, 1 042 relayed, 2 failed, 1 broken off, sent 123 kB, received 7.7 MB',
  'UDP: 5 associations, 40 opened, sent 80 datagrams, received 79, dropped 1',
]

describe('tsnat redirect', () => {
  it('redirects until Ctrl-C, and tells how it went', async () => {
    const running = tsnat('redirect', '--tcp', '--to', 'socks5://me:secret@192.0.2.1', '--exclude', '10.0.0.0/8', '--exclude', '192.0.2.7', '--by', 'redirect', '--port', '12345')
    await expect.poll(() => served.gateway.redirects).toEqual([{
      request: { to: 'socks5://me:secret@192.0.2.1', protocols: ['tcp'], by: 'redirect', port: 12345, exclude: ['10.0.0.0/8', '192.0.2.7'], rules: true, interval: 10 }, ended: false,
    }])
    process.emit('SIGINT')
    const { code, out, err } = await running
    expect({ code, err }).toEqual({ code: ExitCode.ok, err: '' })
    expect(out.replaceAll(/^\d\d:\d\d:\d\d/gm, 'hh:mm:ss')).toBe([
      'hh:mm:ss  redirecting tcp, udp by tproxy at 127.0.0.1:1080 to socks5://me@192.0.2.1:1080',
      'hh:mm:ss  ended', ...COUNTS.map((line) => `          ${line}`), '',
    ].join('\n'))
    await expect.poll(() => served.gateway.redirects).toMatchObject([{ ended: true }])
  })

  it('takes both protocols when none is named, and no rules when told so; --json prints each line as an object', async () => {
    const running = tsnat('redirect', '--to', 'socks5://192.0.2.1', '--no-rules', '--interval', '1', '--json')
    await expect.poll(() => served.gateway.redirects).toMatchObject([{ request: { protocols: ['tcp', 'udp'], by: 'tproxy', port: 1080, exclude: [], rules: false, interval: 1 } }])
    process.emit('SIGTERM')
    const { out } = await running
    expect(out.trimEnd().split('\n').map((line): unknown => JSON.parse(line))).toEqual([{ type: 'started', ...exampleRedirect() }, { type: 'ended', ...exampleRedirect() }])
  })

  it('tells a refusal of the gateway', async () => {
    served.gateway.broken = new TsnatError('port 1080 has a redirector already', { code: 'REDIRECT_PORT', hint: 'choose another one with --port', exitCode: ExitCode.usage })
    const { code, err } = await tsnat('redirect', '--to', 'socks5://192.0.2.1')
    expect({ code, err }).toEqual({ code: ExitCode.usage, err: 'tsnat: port 1080 has a redirector already\n  hint: choose another one with --port\n' })
  })

  it.each([
    [[], '--to'],
    [['--to', '192.0.2.1:1080'], 'to "192.0.2.1:1080" is not the address of a SOCKS5 proxy'],
    [['--to', 'socks5://192.0.2.1', '--by', 'magic'], 'magic'],
    [['--to', 'socks5://192.0.2.1', '--no-rules', '--exclude', '10.0.0.0/8'], '--exclude is for the rules'],
    [['--to', 'socks5://192.0.2.1', '--exclude', '10.0.0.0/33'], 'exclude "10.0.0.0/33"'],
  ])('refuses %j', async (words, text) => {
    const { code, err } = await tsnat('redirect', ...words)
    expect(code).toBe(ExitCode.usage)
    expect(err).toContain(text)
    expect(served.gateway.redirects).toEqual([])
  })

  it('stands in the status', async () => {
    served.gateway.state.redirects = [{ ...exampleRedirect(), error: 'connect ECONNREFUSED 192.0.2.1:1080' }]
    const { out } = await tsnat('status')
    expect(out).toContain(`  SOCKS  tcp, udp by tproxy at 127.0.0.1:1080 to socks5://me@192.0.2.1:1080\n         ${COUNTS[0]}\n         ${COUNTS[1]}\n         the upstream cannot be used: connect ECONNREFUSED 192.0.2.1:1080\n`)
  })
})
