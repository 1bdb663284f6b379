import { describe, expect, it } from 'vitest'
import { readRedirect, redirectQuery } from '../../src/api/redirect.js'
import { TsnatError } from '../../src/errors.js'

const failure = (given: Record<string, string>): string => {
  try {
    readRedirect(given)
  } catch (error) {
    if (error instanceof TsnatError) return `${error.code} ${error.exitCode} ${error.message}`
  }
  throw new Error('nothing was refused')
}

describe('the words of a redirector', () => {
  it('have defaults', () => {
    expect(readRedirect({ to: 'socks5://192.0.2.1' })).toEqual({
      to: 'socks5://192.0.2.1', protocols: ['tcp', 'udp'], by: 'tproxy', port: 1080, exclude: [], rules: true, interval: 10,
    })
  })

  it('are read as they were written', () => {
    const settings = { to: 'socks5://a:b%26@192.0.2.1:1', protocols: ['udp'], by: 'redirect', port: 9, exclude: ['10.0.0.0/8', '192.0.2.7'], rules: false } as const
    expect(readRedirect(Object.fromEntries(new URLSearchParams(redirectQuery(settings, 3))))).toEqual({ ...settings, interval: 3 })
  })

  it.each([
    [{}, 'BAD_REDIRECT 64 to "" is not the address of a SOCKS5 proxy'],
    [{ to: 'http://192.0.2.1' }, 'BAD_REDIRECT 64 to "http://192.0.2.1" is not the address of a SOCKS5 proxy'],
    [{ to: 'socks5://192.0.2.1', protocols: 'tcp,icmp' }, 'BAD_REDIRECT 64 protocol "icmp" cannot be redirected'],
    [{ to: 'socks5://192.0.2.1', by: 'magic' }, 'BAD_REDIRECT 64 by "magic" is unknown'],
    [{ to: 'socks5://192.0.2.1', port: '0' }, 'BAD_REDIRECT 64 port "0" is not a number from 1 to 65535'],
    [{ to: 'socks5://192.0.2.1', interval: 'x' }, 'BAD_REDIRECT 64 interval "x" is not a number from 1 to 3600'],
    [{ to: 'socks5://192.0.2.1', exclude: '10.0.0.0/8,all' }, 'BAD_REDIRECT 64 exclude "all" is not an IPv4 address or prefix'],
    [{ to: 'socks5://192.0.2.1', rules: 'maybe' }, 'BAD_REDIRECT 64 rules "maybe" is unknown'],
    [{ to: 'socks5://192.0.2.1', colour: 'red' }, 'BAD_REDIRECT 64 "colour" is not known to redirect'],
  ])('%j is refused', (given, text) => {
    expect(failure(given as unknown as Record<string, string>)).toBe(text)
  })
})
