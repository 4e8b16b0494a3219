// Tokens by @azure/identity: the credential that the variables describe, and one with a wrong secret.
// Prints the lifetime and the audience of each token, and the refusal.
import { ClientSecretCredential, DefaultAzureCredential } from "@azure/identity";

const RESOURCES = ["https://management.azure.com", "https://vault.azure.net", "https://containerregistry.azure.net"];

const credential = new DefaultAzureCredential();
const tokens = [];
for (const resource of RESOURCES) {
  const { token, expiresOnTimestamp } = await credential.getToken(`${resource}/.default`);
  const claims = JSON.parse(Buffer.from(token.split(".")[1], "base64url"));
  tokens.push({ audience: claims.aud, minutes: Math.round((expiresOnTimestamp - Date.now()) / 60_000) });
}

const { AZURE_TENANT_ID, AZURE_CLIENT_ID } = process.env;
const wrong = new ClientSecretCredential(AZURE_TENANT_ID, AZURE_CLIENT_ID, "not-the-secret");
const refusal = await wrong.getToken(`${RESOURCES[0]}/.default`).catch((error) => error);

console.log(JSON.stringify({ tokens, refusal: { name: refusal.name, message: refusal.message } }));
