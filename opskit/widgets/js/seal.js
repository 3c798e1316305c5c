// Values sealed to the kernel's key, and a key pair of this tab for what only it may read.
import { CompactEncrypt, compactDecrypt, exportJWK, generateKeyPair, importJWK } from "jose";

const ALGORITHM = "ECDH-ES";

export const tab = globalThis.crypto?.randomUUID?.() ?? String(Math.random());

/** Why sealing is not possible here, or nothing. */
export const obstacle = () =>
  globalThis.isSecureContext && globalThis.crypto?.subtle
    ? ""
    : "This page is not from https:// or localhost, so the browser cannot seal a value here. " +
      "Reach JupyterLab through an ssh tunnel (localhost) or https.";

/** Seal bytes to a public JWK, for one purpose and one use. */
export async function sealTo(jwk, bytes, purpose) {
  const key = await importJWK(jwk, ALGORITHM);
  return new CompactEncrypt(bytes)
    .setProtectedHeader({ alg: ALGORITHM, enc: "A256GCM", purpose, jti: crypto.randomUUID() })
    .encrypt(key);
}

let pair = null;
const keys = () => (pair ??= generateKeyPair(ALGORITHM, { crv: "P-256", extractable: false }));

/** This tab's public key; the private one cannot leave the browser. */
export const tabKey = async () => exportJWK((await keys()).publicKey);

/** Open what was sealed to this tab. */
export async function openFor(sealed) {
  const { plaintext } = await compactDecrypt(sealed, (await keys()).privateKey);
  return plaintext;
}
