import { defineConfig, globalIgnores } from 'eslint/config'
import tseslint from 'typescript-eslint'
import { importDirections } from './scripts/lint/import-directions.js'

/** Of Node's, those that scripts here use. */
const GLOBALS = [
  'AbortController', 'Buffer', 'URL', 'clearInterval', 'clearTimeout', 'console', 'fetch', 'performance', 'process', 'setInterval', 'setTimeout',
]

export default defineConfig(
  globalIgnores(['dist/', 'coverage/', 'native/', '**/*.tmp/']),
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  {
    files: ['**/*.js', '**/*.mjs'],
    extends: [tseslint.configs.recommended],
    rules: { 'no-undef': 'error' },
    languageOptions: { globals: Object.fromEntries(GLOBALS.map((name) => [name, 'readonly'])) },
  },
  {
    files: ['src/**/*.ts', 'test/**/*.ts', 'bench/**/*.ts'],
    extends: [tseslint.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { projectService: true } },
  },
  {
    files: ['src/**/*.ts', 'test/**/*.ts', 'bench/**/*.ts'],
    rules: {
      // Interfaces are written with methods, and what implements them is often a closure.
      '@typescript-eslint/unbound-method': 'off',
      // Package netlink gives plain numbers for what it declares as enums.
      '@typescript-eslint/no-unsafe-enum-comparison': 'off',
      // 'accept' | 'reject' | string tells the reader which words are special.
      '@typescript-eslint/no-redundant-type-constituents': 'off',
    },
  },
  {
    files: ['test/**/*.ts'],
    rules: {
      // expect.any() and JSON.parse() are any.
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      // Doubles have the signatures of what they stand for.
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/await-thenable': 'off',
      '@typescript-eslint/no-unnecessary-type-assertion': 'off',
    },
  },
  { files: ['*.config.ts'], extends: [tseslint.configs.recommended] },
  {
    files: ['src/**/*.ts'],
    plugins: { tsnat: { rules: { 'import-directions': importDirections } } },
    rules: { 'tsnat/import-directions': 'error' },
  },
)
