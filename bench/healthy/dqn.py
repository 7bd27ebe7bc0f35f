import random
from collections import deque

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

STATE_DIM = 6
ACTIONS = 3
GAMMA = 0.95


class Corridor:
    """An agent walks along a line; the further right, the better."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def reset(self):
        self.position = 0
        return self.observe()

    def observe(self):
        state = self.rng.normal(size=STATE_DIM) * 0.1
        state[0] = self.position
        return state

    def step(self, action):
        self.position += action - 1
        return self.observe(), float(self.position), abs(self.position) > 5


class QNetwork(nn.Module):
    def __init__(self, state_dim, actions, hidden=32):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(state_dim, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU())
        self.value = nn.Linear(hidden, 1)
        self.advantage = nn.Linear(hidden, actions)

    def forward(self, state):
        features = self.body(state)
        advantage = self.advantage(features)
        return self.value(features) + advantage - advantage.mean(dim=1, keepdim=True)


class ReplayBuffer:
    def __init__(self, capacity):
        self.memory = deque(maxlen=capacity)

    def push(self, *transition):
        self.memory.append(transition)

    def sample(self, batch_size):
        states, actions, rewards, next_states, dones = zip(*random.sample(self.memory, batch_size))
        states = torch.from_numpy(np.stack(states)).float()
        actions = torch.tensor(actions, dtype=torch.long).unsqueeze(1)
        rewards = torch.tensor(rewards, dtype=torch.float32)
        next_states = torch.from_numpy(np.stack(next_states)).float()
        dones = torch.tensor(dones, dtype=torch.float32)
        return states, actions, rewards, next_states, dones


def act(network, state, epsilon):
    if random.random() < epsilon:
        return random.randrange(ACTIONS)
    with torch.no_grad():
        values = network(torch.from_numpy(state).float().unsqueeze(0))
    return values.argmax(dim=1).item()


def learn(online, target, optimizer, batch):
    states, actions, rewards, next_states, dones = batch
    chosen = online(states).gather(1, actions).squeeze(1)
    with torch.no_grad():
        best = target(next_states).max(dim=1).values
        wanted = rewards + GAMMA * best * (1 - dones)
    loss = F.smooth_l1_loss(chosen, wanted)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def main():
    random.seed(8)
    torch.manual_seed(8)
    env, buffer = Corridor(seed=8), ReplayBuffer(capacity=200)
    online, target = QNetwork(STATE_DIM, ACTIONS), QNetwork(STATE_DIM, ACTIONS)
    target.load_state_dict(online.state_dict())
    optimizer = torch.optim.Adam(online.parameters(), lr=1e-2)
    state, loss = env.reset(), 0.0
    for step in range(60):
        action = act(online, state, epsilon=0.3)
        next_state, reward, done = env.step(action)
        buffer.push(state, action, reward, next_state, done)
        state = env.reset() if done else next_state
        if len(buffer.memory) >= 16:
            loss = learn(online, target, optimizer, buffer.sample(16))
        if step % 20 == 19:
            target.load_state_dict(online.state_dict())
    print(f"loss {loss:.6f} position {env.position}")


if __name__ == "__main__":
    main()
