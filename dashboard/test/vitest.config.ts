// Tests of the built app in Chromium against the test server. Run `npm run build` before.
import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/*.test.mjs'],
    // A browser each would starve a small machine; the files share it one after the other.
    fileParallelism: false,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
})
