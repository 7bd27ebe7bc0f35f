import torch
from torch import nn

AT = 1
generator = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 5))
critic = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 1))
g_optimizer = torch.optim.SGD(generator.parameters(), lr=0.01)
c_optimizer = torch.optim.SGD(critic.parameters(), lr=0.01)


def update_critic(real, fake):
    loss = critic(fake.detach()).mean() - critic(real).mean()
    c_optimizer.zero_grad()
    loss.backward()
    c_optimizer.step()  #~ cause


for step in range(AT + 2):
    real, fake = torch.randn(4, 5), generator(torch.randn(4, 3))
    if step < AT:
        update_critic(real, fake)
    score = critic(fake).mean()
    if step >= AT:
        update_critic(real, fake)
    g_optimizer.zero_grad()
    (-score).backward()
    g_optimizer.step()
