-- A secret of the kind 'brokered' is put into requests by the gateway: what stands for it in the machine,
-- and which requests (JSON). Both are part of what its seal is bound to.
ALTER TABLE secret ADD COLUMN placeholder TEXT;
ALTER TABLE secret ADD COLUMN binding TEXT;

-- The certificate (PEM) of the authority that the project's machine trusts, and its key, sealed with the
-- data key.
ALTER TABLE secret_key ADD COLUMN authority_certificate TEXT;
ALTER TABLE secret_key ADD COLUMN authority_key TEXT;
