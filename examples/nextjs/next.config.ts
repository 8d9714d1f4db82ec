import type { NextConfig } from "next";

const config: NextConfig = {
  // The folder of this example; without it Next.js looks for lock files in the folders above.
  turbopack: { root: import.meta.dirname },
};

export default config;
